package main

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"

	"github.com/envoyproxy/gateway/gaugeway/serve"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/hbone"
	"istio.io/istio/pkg/security"
	"sigs.k8s.io/yaml"
)

// secrets are those that Istio's agent gives to a proxy.
func secrets(authority *serve.Authority, p Proxy) security.SecretManager {
	chain, key := authority.Sign("", identity(p.Namespace, p.Account))
	manager := security.NewDirectSecretManager()
	manager.Set(security.WorkloadKeyCertResourceName, &security.SecretItem{
		ResourceName: security.WorkloadKeyCertResourceName, CertificateChain: chain, PrivateKey: key,
	})
	for _, name := range []string{security.RootCertReqResourceName, security.FileRootSystemCACert} {
		manager.Set(name, &security.SecretItem{ResourceName: name, RootCert: authority.Root})
	}
	return manager
}

func identity(namespace, account string) string {
	return "spiffe://cluster.local/ns/" + namespace + "/sa/" + account
}

// serveTunnel does what a node's ztunnel does: it sends each connection through the waypoint, with the identity of the application. The
// waypoint's address is not known before it runs, so the test writes it into a file.
func serveTunnel(authority *serve.Authority, settings Settings) string {
	pair := authority.Pair("", identity("team", "agent"))
	server, err := net.Listen("tcp", "127.0.0.1:0")
	serve.Check(err)
	go serve.Forward(server, func() (net.Conn, error) {
		waypoint, err := os.ReadFile(filepath.Join(settings.Folder, "waypoint-address"))
		if err != nil {
			return nil, err
		}
		return hbone.NewDialer(hbone.Config{
			ProxyAddress: string(waypoint),
			// The name in the waypoint's certificate is an identity, which Go does not verify.
			TLS: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		}).Dial("tcp", settings.Vip)
	})
	return server.Addr().String()
}

// meshValues reads `meshConfig` from Helm values of the istiod chart.
func meshValues(text string) *meshconfig.MeshConfig {
	values := map[string]any{}
	serve.Check(yaml.UnmarshalStrict([]byte(text), &values))
	own, err := yaml.Marshal(values["meshConfig"])
	serve.Check(err)
	config, err := mesh.ApplyMeshConfigDefaults(string(own))
	serve.Check(err)
	return config
}
