package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/envoyproxy/gateway/gaugeway/serve"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/infrastructure/common"
	"github.com/envoyproxy/gateway/internal/ir"
	"github.com/envoyproxy/gateway/internal/xds/bootstrap"
)

// The address of the server for plugins in a cluster.
const (
	moduleHost = "envoy-gateway.envoy-gateway-system.svc.cluster.local"
	modulePort = 18002
)

// clientSecret is the Secret that Envoy Gateway makes when it is installed: the certificate with which Envoy connects to it.
func clientSecret(authority *serve.Authority) string {
	chain, key := authority.Sign("envoy", "")
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata:\n  name: envoy\n  namespace: envoy-gateway-system\n"+
		"data:\n  tls.crt: %s\n  tls.key: %s\n  ca.crt: %s\n", encode(chain), encode(key), encode(authority.Root))
}

// writeBootstrap writes what the controller passes to Envoy as an argument, and the files that the bootstrap names.
func writeBootstrap(settings Settings, authority *serve.Authority, infra *ir.ProxyInfra, root, discovery string) string {
	write := func(name, text string) string {
		path := filepath.Join(settings.Folder, name)
		serve.Check(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	chain, key := authority.Sign("envoy", "")
	host, port := serve.HostPort(discovery)
	xdsPort, noPort, admin := int32(port), int32(0), settings.AdminPort
	arguments, err := common.BuildProxyArgs(infra, nil, &bootstrap.RenderBootstrapConfigOptions{
		SdsConfig: bootstrap.SdsConfigPath{
			Certificate: write(common.SdsCertFilename,
				common.GetSdsCertConfigMapData(write("chain.pem", string(chain)), write("key.pem", string(key)))),
			TrustedCA: write(common.SdsCAFilename, common.GetSdsCAConfigMapData(root)),
		},
		XdsServerHost:            &host,
		XdsServerPort:            &xdsPort,
		AdminServerPort:          &admin,
		StatsServerPort:          &noPort,
		TopologyInjectorDisabled: true,
	}, "gateway", false)
	serve.Check(err)
	for i, argument := range arguments {
		if argument == "--config-yaml" {
			return write("envoy.yaml", arguments[i+1])
		}
	}
	serve.Check(fmt.Errorf("Envoy has no --config-yaml: %v", arguments))
	return ""
}

// move replaces the address of a host, as the cluster's name server does.
func move(assignment *endpointv3.ClusterLoadAssignment, from string, fromPort uint32, to string) {
	for _, locality := range assignment.GetEndpoints() {
		for _, one := range locality.GetLbEndpoints() {
			address := one.GetEndpoint().GetAddress().GetSocketAddress()
			if address.GetAddress() == from && address.GetPortValue() == fromPort {
				host, port := serve.HostPort(to)
				address.Address, address.PortSpecifier = host, &corev3.SocketAddress_PortValue{PortValue: port}
			}
		}
	}
}

// trust puts the authority of the test in the place of the machine's.
func trust(secret *tlsv3.Secret, root string) {
	if ca := secret.GetValidationContext().GetTrustedCa(); ca.GetFilename() != "" {
		ca.Specifier = &corev3.DataSource_Filename{Filename: root}
	}
}

// trustOf does the same in the cluster of the server for plugins, whose authority is a file of the proxy's container.
func trustOf(cluster *clusterv3.Cluster, root string) {
	socket := cluster.GetTransportSocket()
	context := &tlsv3.UpstreamTlsContext{}
	if !socket.GetTypedConfig().MessageIs(context) {
		return
	}
	serve.Check(socket.GetTypedConfig().UnmarshalTo(context))
	if ca := context.GetCommonTlsContext().GetValidationContext().GetTrustedCa(); ca.GetFilename() != "" {
		ca.Specifier = &corev3.DataSource_Filename{Filename: root}
	}
	changed, err := anypb.New(context)
	serve.Check(err)
	socket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: changed}
}

// conditions are what is unusual in the status that the controller writes: a condition that is not true, or a policy that is overridden
// or merged.
func conditions(result *gatewayapi.TranslateResult) []string {
	found := []string{}
	note := func(what string, all []metav1.Condition) {
		for _, one := range all {
			if one.Status != metav1.ConditionTrue || one.Type == "Overridden" || one.Type == "Merged" {
				found = append(found, fmt.Sprintf("%s: %s is %s: %s", what, one.Type, one.Status, one.Message))
			}
		}
	}
	for _, gateway := range result.Gateways {
		note("Gateway "+gateway.Name, gateway.Status.Conditions)
	}
	for _, route := range result.HTTPRoutes {
		for _, parent := range route.Status.Parents {
			note("HTTPRoute "+route.Name, parent.Conditions)
		}
	}
	for _, policy := range result.EnvoyExtensionPolicies {
		for _, ancestor := range policy.Status.Ancestors {
			note("EnvoyExtensionPolicy "+policy.Name, ancestor.Conditions)
		}
	}
	for _, policy := range result.EnvoyPatchPolicies {
		for _, ancestor := range policy.Status.Ancestors {
			note("EnvoyPatchPolicy "+policy.Name, ancestor.Conditions)
		}
	}
	return found
}
