package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/envoyproxy/gateway/gaugeway/serve"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pkg/bootstrap"
	"istio.io/istio/pkg/bootstrap/platform"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/security"
	"istio.io/istio/security/pkg/nodeagent/sds"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Proxy is an Envoy of the mesh.
type Proxy struct {
	Name string `json:"name"`
	// Type is sidecar, router or waypoint.
	Type        string            `json:"type"`
	Namespace   string            `json:"namespace"`
	Account     string            `json:"account"`
	IP          string            `json:"ip"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	AdminPort   int32             `json:"admin_port"`
}

// prepare makes what Istio's agent makes before it starts Envoy: the bootstrap, and the sockets for xDS and SDS, whose paths in the
// bootstrap are relative to the working directory of Envoy.
func (p Proxy) prepare(settings Settings, authority *serve.Authority, edits *edits) string {
	folder := filepath.Join(settings.Folder, p.Name)
	config := filepath.Join(folder, "etc/istio/proxy")
	serve.Check(os.MkdirAll(config, 0o700))
	serve.Check(os.Symlink(filepath.Join(settings.Folder, "istiod"), filepath.Join(config, "XDS")))
	serve.Check(os.Chdir(folder))
	sds.NewServer(&security.Options{CARootPath: "/etc/ssl/certs/ca-certificates.crt"}, secrets(authority, p), nil)

	defaults := mesh.DefaultProxyConfig()
	defaults.ConfigPath = "./etc/istio/proxy"
	defaults.ProxyAdminPort = p.AdminPort
	defaults.Concurrency = wrapperspb.Int32(1)
	metadata := map[string]any{
		"LABELS":      p.Labels,
		"ANNOTATIONS": p.Annotations,
	}
	more, err := json.Marshal(metadata)
	serve.Check(err)
	node, err := bootstrap.GetNodeMetaData(bootstrap.MetadataOptions{
		ID:          fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", p.Type, p.IP, p.Name, p.Namespace, p.Namespace),
		InstanceIPs: []string{p.IP},
		Platform:    &platform.Unknown{},
		ProxyConfig: (*meshconfig.ProxyConfig)(defaults),
		Envs: []string{
			"ISTIO_META_NAMESPACE=" + p.Namespace,
			"ISTIO_META_CLUSTER_ID=Kubernetes",
			"ISTIO_META_SERVICE_ACCOUNT=" + p.Account,
			"ISTIO_META_WORKLOAD_NAME=" + p.Name,
			"ISTIO_META_MESH_ID=cluster.local",
			"ISTIO_METAJSON_POD=" + string(more),
		},
		WorkloadIdentitySocketFile: security.DefaultWorkloadIdentitySocketFile,
	})
	serve.Check(err)
	var text bytes.Buffer
	serve.Check(bootstrap.New(bootstrap.Config{Node: node}).WriteTo(settings.Template, &text))
	path := filepath.Join(folder, "envoy.json")
	serve.Check(os.WriteFile(path, edits.bootstrap(text.Bytes()), 0o600))
	return path
}
