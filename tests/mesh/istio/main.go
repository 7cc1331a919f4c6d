// Command istio runs istiod's own code for the mesh of a test: it reads manifests as a cluster would store them, serves the
// configuration that istiod generates from them over xDS, certificates over SDS, and the plugin's image from a registry. It writes one
// bootstrap for each proxy, made by the code of Istio's agent. Only what a cluster provides is made here.
//
//	istio SETTINGS.json
//
// It prints one line of JSON when Envoy can start, and runs until its standard input ends.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/envoyproxy/gateway/gaugeway/serve"
	xds "istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/log"
	"sigs.k8s.io/yaml"
)

// Settings say what the test's mesh consists of.
type Settings struct {
	// Folder for the files of this run. Each proxy has a folder of its own in it.
	Folder string `json:"folder"`
	// Image is an OCI layout with the plugin.
	Image string `json:"image"`
	// Template is Istio's template of the bootstrap.
	Template string `json:"template"`
	// Manifests are the texts of the manifests to apply.
	Manifests []string `json:"manifests"`
	// Mesh are Helm values of istiod, or empty.
	Mesh string `json:"mesh"`
	// Objects are Kubernetes objects that only a cluster has: pods, endpoints.
	Objects string `json:"objects"`
	// Proxies are the proxies to write bootstraps for.
	Proxies []Proxy `json:"proxies"`
	// Provider is the address of a plain HTTP server. A TLS server for Host is put before it.
	Provider string `json:"provider"`
	Host     string `json:"host"`
	// Vip is the address of a service, to which calls go through the waypoint.
	Vip string `json:"vip"`
}

func main() {
	settings := Settings{}
	text, err := os.ReadFile(os.Args[1])
	serve.Check(err)
	serve.Check(json.Unmarshal(text, &settings))
	options := log.DefaultOptions()
	options.SetDefaultOutputLevel(log.OverrideScopeName, log.WarnLevel)
	options.OutputPaths = []string{"stderr"}
	serve.Check(log.Configure(options))

	authority := serve.NewAuthority()
	registry := serve.Image(settings.Image)
	provider := serve.TLS(authority, settings.Host, settings.Provider)
	istio, objects := split(settings, registry)
	meshConfig := mesh.DefaultMeshConfig()
	if settings.Mesh != "" {
		meshConfig = meshValues(settings.Mesh)
	}
	socket, err := net.Listen("unix", filepath.Join(settings.Folder, "istiod"))
	serve.Check(err)
	server := xds.NewFakeDiscoveryServer(failer{}, xds.FakeOptions{
		ConfigString:               istio,
		KubernetesObjectString:     objects,
		MeshConfig:                 meshConfig,
		ListenerBuilder:            func() (net.Listener, error) { return socket, nil },
		DisableSecretAuthorization: true,
	})
	edits := &edits{provider: provider, host: settings.Host, removed: map[string]bool{}, folder: settings.Folder}
	edits.install(server)

	bootstraps := map[string]string{}
	for _, proxy := range settings.Proxies {
		bootstraps[proxy.Name] = proxy.prepare(settings, authority, edits)
	}
	ready := map[string]any{"bootstraps": bootstraps}
	if settings.Vip != "" {
		ready["tunnel"] = serveTunnel(authority, settings)
	}
	line, err := json.Marshal(ready)
	serve.Check(err)
	fmt.Println(string(line))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// split sorts the documents of all manifests into Istio's own and those of Kubernetes. The image is the only change, as the manual asks.
func split(settings Settings, registry string) (string, string) {
	var istio, objects []string
	texts := []string{settings.Objects}
	for _, text := range settings.Manifests {
		texts = append(texts, strings.ReplaceAll(text, "registry.example.com", registry))
	}
	for _, text := range texts {
		for _, document := range strings.Split(text, "\n---\n") {
			document = withStatus(settings, document)
			switch {
			case strings.TrimSpace(document) == "":
			case strings.Contains(document, ".istio.io/v1"):
				validate(document)
				istio = append(istio, document)
				// istiod's code for ambient reads these from Kubernetes.
				if strings.Contains(document, "kind: ServiceEntry") {
					objects = append(objects, document)
				}
			default:
				objects = append(objects, document)
				if strings.Contains(document, "kind: Gateway\n") {
					istio = append(istio, document)
				}
			}
		}
	}
	return strings.Join(istio, "\n---\n"), strings.Join(objects, "\n---\n")
}

// withStatus adds what Istio's controllers write into the status: the name of a waypoint, and the address of a provider in an ambient mesh.
func withStatus(settings Settings, document string) string {
	document = strings.TrimRight(document, "\n")
	switch {
	case strings.Contains(document, "gatewayClassName: istio-waypoint"):
		return document + "\nstatus:\n  addresses:\n  - type: Hostname\n    value: llm.llm.svc.cluster.local\n"
	case settings.Vip != "" && strings.Contains(document, "kind: ServiceEntry"):
		address, _, _ := strings.Cut(settings.Vip, ":")
		return document + "\nstatus:\n  addresses:\n  - value: " + address + "\n    host: " + settings.Host + "\n"
	}
	return document
}

// validate is what istiod's webhook does before a cluster stores a resource of Istio. Unknown members are errors, too.
func validate(document string) {
	text, err := yaml.YAMLToJSON([]byte(document))
	serve.Check(err)
	var parts struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct{ Name, Namespace string }
		Spec       json.RawMessage `json:"spec"`
	}
	serve.Check(json.Unmarshal(text, &parts))
	group, version, _ := strings.Cut(parts.APIVersion, "/")
	kind := config.GroupVersionKind{Group: group, Version: version, Kind: parts.Kind}
	schema, known := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(kind)
	if !known {
		serve.Check(fmt.Errorf("istiod does not know %v", kind))
	}
	spec, err := schema.NewInstance()
	serve.Check(err)
	serve.Check(config.ApplyJSONStrict(spec, string(parts.Spec)))
	_, err = schema.ValidateConfig(config.Config{
		Meta: config.Meta{GroupVersionKind: kind, Name: parts.Metadata.Name, Namespace: parts.Metadata.Namespace},
		Spec: spec,
	})
	serve.Check(err)
}

// failer ends the program where a test would fail.
type failer struct{}

func (failer) Fail()                     { serve.Check(fmt.Errorf("failed")) }
func (failer) FailNow()                  { serve.Check(fmt.Errorf("failed")) }
func (failer) Fatal(args ...any)         { serve.Check(fmt.Errorf("%s", fmt.Sprint(args...))) }
func (failer) Fatalf(f string, a ...any) { serve.Check(fmt.Errorf(f, a...)) }
func (failer) Log(...any)                {}
func (failer) Logf(string, ...any)       {}
func (failer) TempDir() string           { return os.TempDir() }
func (failer) Helper()                   {}
func (failer) Cleanup(func())            {}
func (failer) Skip(...any)               {}
