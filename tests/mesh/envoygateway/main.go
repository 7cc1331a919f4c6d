// Command envoygateway runs Envoy Gateway's own code: it reads manifests, translates them as its controller does, fetches the plugin's
// image, and serves the configuration over xDS and the plugin over HTTP, both with TLS. It writes the bootstrap that the controller would
// write.
//
//	envoygateway SETTINGS.json
//
// It prints one line of JSON when Envoy can start, and runs until its standard input ends.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/util/sets"
	gwapiv1 "sigs.k8s.io/gateway-api/apis/v1"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/gaugeway/serve"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/gatewayapi/resource"
	"github.com/envoyproxy/gateway/internal/logging"
	"github.com/envoyproxy/gateway/internal/wasm"
	"github.com/envoyproxy/gateway/internal/xds/cache"
	"github.com/envoyproxy/gateway/internal/xds/translator"
)

// Settings say what the test consists of.
type Settings struct {
	Folder string `json:"folder"`
	// Image is an OCI layout with the plugin.
	Image string `json:"image"`
	// Manifests are the texts of the manifests to apply.
	Manifests []string `json:"manifests"`
	// Provider is the address of a plain HTTP server. A TLS server for Host is put before it.
	Provider  string `json:"provider"`
	Host      string `json:"host"`
	AdminPort int32  `json:"admin_port"`
	// Gateway is the namespace and name of the Gateway.
	Gateway string `json:"gateway"`
}

func main() {
	settings := Settings{}
	text, err := os.ReadFile(os.Args[1])
	serve.Check(err)
	serve.Check(json.Unmarshal(text, &settings))
	authority := serve.NewAuthority()
	root := filepath.Join(settings.Folder, "root.pem")
	serve.Check(os.WriteFile(root, authority.Root, 0o600))
	registry := serve.Image(settings.Image)
	provider := serve.TLS(authority, settings.Host, settings.Provider)

	logger := logging.DefaultLogger(os.Stderr, egv1a1.LogLevelWarn)
	own := &tls.Config{Certificates: []tls.Certificate{authority.Pair("envoy-gateway", "")}}
	modules := wasm.NewHTTPServerWithFileCache(
		wasm.ServerOptions{Salt: []byte("salt"), TLSConfig: own},
		wasm.CacheOptions{CacheDir: settings.Folder, InsecureRegistries: sets.New(registry)},
		"envoy-gateway-system", logger)
	moduleServer, err := net.Listen("tcp", "127.0.0.1:0")
	serve.Check(err)
	go func() { _ = (&http.Server{Handler: modules, TLSConfig: own.Clone()}).ServeTLS(moduleServer, "", "") }()

	manifests := strings.ReplaceAll(strings.Join(settings.Manifests, "\n---\n"), "registry.example.com", registry) + "\n---\n" + clientSecret(authority)
	// The strict reader that egctl has, too: it validates against the schemas and sets their defaults.
	resources, err := resource.LoadResourcesFromYAMLBytes([]byte(manifests), true, nil)
	serve.Check(err)
	// The reader takes every EnvoyProxy for that of the GatewayClass.
	if proxy := resources.EnvoyProxyForGatewayClass; proxy != nil && resources.GatewayClass.Spec.ParametersRef == nil {
		resources.EnvoyProxyForGatewayClass, resources.EnvoyProxiesForGateways = nil, []*egv1a1.EnvoyProxy{proxy}
	}
	gateways := &gatewayapi.Translator{
		GatewayControllerName:   string(resources.GatewayClass.Spec.ControllerName),
		GatewayClassName:        gwapiv1.ObjectName(resources.GatewayClass.Name),
		EndpointRoutingDisabled: true,
		EnvoyPatchPolicyEnabled: true,
		BackendEnabled:          true,
		ControllerNamespace:     "envoy-gateway-system",
		WasmCache:               modules,
		Logger:                  logger,
	}
	result, err := gateways.Translate(context.Background(), resources)
	serve.Check(err)
	ir, ok := result.XdsIR[settings.Gateway]
	if !ok {
		serve.Check(fmt.Errorf("no configuration for the Gateway %s: %v", settings.Gateway, len(result.XdsIR)))
	}
	envoys := &translator.Translator{ControllerNamespace: "envoy-gateway-system", FilterOrder: ir.FilterOrder, Logger: logger}
	table, err := envoys.Translate(context.Background(), ir)
	serve.Check(err)
	for _, one := range table.XdsResources[resourcev3.ClusterType] {
		trustOf(one.(*clusterv3.Cluster), root)
		assignment := one.(*clusterv3.Cluster).GetLoadAssignment()
		move(assignment, settings.Host, 443, provider)
		move(assignment, moduleHost, modulePort, moduleServer.Addr().String())
	}
	for _, one := range table.XdsResources[resourcev3.EndpointType] {
		move(one.(*endpointv3.ClusterLoadAssignment), settings.Host, 443, provider)
	}
	for _, one := range table.XdsResources[resourcev3.SecretType] {
		trust(one.(*tlsv3.Secret), root)
	}
	snapshots := cache.NewSnapshotCache(true, logger)
	serve.Check(snapshots.GenerateNewSnapshot(settings.Gateway, table.XdsResources, context.Background()))
	own = own.Clone()
	own.ClientAuth, own.ClientCAs, own.NextProtos = tls.RequireAndVerifyClientCert, authority.Pool(), []string{"h2"}
	discovery, err := net.Listen("tcp", "127.0.0.1:0")
	serve.Check(err)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(own)))
	handler := serverv3.NewServer(context.Background(), snapshots, snapshots)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, handler)
	secretv3.RegisterSecretDiscoveryServiceServer(server, handler)
	go func() { _ = server.Serve(discovery) }()

	path := writeBootstrap(settings, authority, result.InfraIR[settings.Gateway].Proxy, root, discovery.Addr().String())
	line, err := json.Marshal(map[string]any{"bootstrap": path, "cluster": result.InfraIR[settings.Gateway].Proxy.Name, "conditions": conditions(result)})
	serve.Check(err)
	fmt.Println(string(line))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
