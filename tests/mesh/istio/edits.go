package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/envoyproxy/gateway/gaugeway/serve"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	value "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	state "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"istio.io/istio/pilot/pkg/model"
	v3 "istio.io/istio/pilot/pkg/xds/v3"
	xds "istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/util/sets"
	"istio.io/istio/pkg/wasm"
)

// Types of filters that only Istio's build of Envoy has. Filters with these names are removed, and nothing else: Envoy rejects every
// other type that it does not know.
var istiosOwn = map[string]bool{
	"envoy.filters.network.metadata_exchange": true,
	"istio.alpn":                        true,
	"istio.metadata_exchange":           true,
	"istio.stats":                       true,
	"metadata_discovery":                true,
	"waypoint_downstream_peer_metadata": true,
	"waypoint_upstream_peer_metadata":   true,
}

// edits are the changes to what istiod generates. Filters are removed, and what the mesh's network does is replaced: the address of the
// provider, and the redirection of an application's connections to its sidecar.
type edits struct {
	provider string
	host     string
	folder   string
	lock     sync.Mutex
	removed  map[string]bool
}

// install puts the edits between istiod's generators and its xDS server.
func (e *edits) install(server *xds.FakeDiscoveryServer) {
	generators := server.Discovery.Generators
	change := func(kind string, edit func(*anypb.Any) *anypb.Any) {
		generators[kind] = edited{generators[kind], edit}
	}
	change(v3.ListenerType, func(any *anypb.Any) *anypb.Any { return changed(any, &listener.Listener{}, e.listener) })
	change(v3.ClusterType, func(any *anypb.Any) *anypb.Any { return changed(any, &cluster.Cluster{}, e.cluster) })
	// Istio's agent fetches the image into a file. This is the agent's code.
	cache := wasm.NewLocalFileCache(filepath.Join(e.folder, "wasm"), wasm.Options{InsecureRegistries: sets.New("*")})
	change(v3.ExtensionConfigurationType, func(any *anypb.Any) *anypb.Any {
		resources := []*anypb.Any{any}
		serve.Check(wasm.MaybeConvertWasmExtensionConfig(resources, cache))
		return resources[0]
	})
}

func (e *edits) listener(l *listener.Listener) {
	l.ListenerFilters = kept(e, l.ListenerFilters)
	for _, chain := range append(l.FilterChains, l.DefaultFilterChain) {
		if chain == nil {
			continue
		}
		chain.Filters = kept(e, chain.Filters)
		for _, filter := range chain.Filters {
			if filter.GetTypedConfig().MessageIs(&hcm.HttpConnectionManager{}) {
				filter.ConfigType = &listener.Filter_TypedConfig{
					TypedConfig: changed(filter.GetTypedConfig(), &hcm.HttpConnectionManager{}, func(m *hcm.HttpConnectionManager) {
						m.HttpFilters = kept(e, m.HttpFilters)
						e.values(m.HttpFilters)
					}),
				}
			}
		}
	}
	address := l.GetAddress().GetSocketAddress()
	redirected := l.BindToPort != nil && !l.BindToPort.Value
	if l.Name == "virtualOutbound" || l.Name == "virtualInbound" || l.Name == "connect_terminate" || redirected {
		// The kernel redirects connections to these. Here a client connects to them.
		l.BindToPort = wrapperspb.Bool(true)
		l.Transparent = nil
		l.Address = &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{},
		}}}
		l.AdditionalAddresses = nil
	} else if address != nil && address.GetPortValue() < 1024 {
		serve.Check(fmt.Errorf("the listener %s has the port %d", l.Name, address.GetPortValue()))
	}
}

func (e *edits) cluster(c *cluster.Cluster) {
	c.Filters = kept(e, c.Filters)
	for _, locality := range c.GetLoadAssignment().GetEndpoints() {
		for _, one := range locality.GetLbEndpoints() {
			address := one.GetEndpoint().GetAddress().GetSocketAddress()
			if address.GetAddress() == e.host && address.GetPortValue() == 443 {
				host, port := serve.HostPort(e.provider)
				address.Address, address.PortSpecifier = host, &core.SocketAddress_PortValue{PortValue: port}
			}
		}
	}
}

// values removes values of a type that only Istio's Envoy has from the filters that set filter state.
func (e *edits) values(filters []*hcm.HttpFilter) {
	for _, filter := range filters {
		if !filter.GetTypedConfig().MessageIs(&state.Config{}) {
			continue
		}
		filter.ConfigType = &hcm.HttpFilter_TypedConfig{
			TypedConfig: changed(filter.GetTypedConfig(), &state.Config{}, func(c *state.Config) {
				var left []*value.FilterStateValue
				for _, one := range c.OnRequestHeaders {
					if one.FactoryKey == "istio.hashable_string" {
						e.note(filter.Name + ": " + one.FactoryKey)
					} else {
						left = append(left, one)
					}
				}
				c.OnRequestHeaders = left
			}),
		}
	}
}

// bootstrap removes Istio's extensions from a bootstrap.
func (e *edits) bootstrap(text []byte) []byte {
	bootstrap := map[string]any{}
	serve.Check(json.Unmarshal(text, &bootstrap))
	var left []any
	for _, extension := range bootstrap["bootstrap_extensions"].([]any) {
		if name := extension.(map[string]any)["name"].(string); istiosOwn[name] {
			e.note(name)
		} else {
			left = append(left, extension)
		}
	}
	bootstrap["bootstrap_extensions"] = left
	text, err := json.Marshal(bootstrap)
	serve.Check(err)
	return text
}

// kept returns the filters that stock Envoy has, and notes the others.
func kept[T interface{ GetName() string }](e *edits, filters []T) []T {
	var left []T
	for _, filter := range filters {
		if istiosOwn[filter.GetName()] {
			e.note(filter.GetName())
		} else {
			left = append(left, filter)
		}
	}
	return left
}

// note writes the names of all removed filters into the file that the test reads.
func (e *edits) note(name string) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.removed[name] {
		return
	}
	e.removed[name] = true
	var names []string
	for name := range e.removed {
		names = append(names, name)
	}
	sort.Strings(names)
	serve.Check(os.WriteFile(filepath.Join(e.folder, "removed"), []byte(strings.Join(names, "\n")), 0o600))
}

// edited is a generator whose resources are edited.
type edited struct {
	model.XdsResourceGenerator
	edit func(*anypb.Any) *anypb.Any
}

func (g edited) Generate(proxy *model.Proxy, w *model.WatchedResource, req *model.PushRequest) (model.Resources, model.XdsLogDetails, error) {
	resources, details, err := g.XdsResourceGenerator.Generate(proxy, w, req)
	return g.all(resources), details, err
}

// GenerateDeltas gives all resources if the generator itself gives no deltas.
func (g edited) GenerateDeltas(proxy *model.Proxy, req *model.PushRequest, w *model.WatchedResource) (
	model.Resources, model.DeletedResources, model.XdsLogDetails, bool, error,
) {
	if delta, ok := g.XdsResourceGenerator.(model.XdsDeltaResourceGenerator); ok {
		resources, deleted, details, used, err := delta.GenerateDeltas(proxy, req, w)
		return g.all(resources), deleted, details, used, err
	}
	resources, details, err := g.XdsResourceGenerator.Generate(proxy, w, req)
	return g.all(resources), nil, details, false, err
}

// all edits copies: istiod caches the resources.
func (g edited) all(resources model.Resources) model.Resources {
	if resources == nil {
		return nil
	}
	copies := make(model.Resources, 0, len(resources))
	for _, resource := range resources {
		resource = proto.Clone(resource).(*discovery.Resource)
		resource.Resource = g.edit(resource.Resource)
		copies = append(copies, resource)
	}
	return copies
}

func changed[T proto.Message](any *anypb.Any, message T, edit func(T)) *anypb.Any {
	serve.Check(any.UnmarshalTo(message))
	edit(message)
	result, err := anypb.New(message)
	serve.Check(err)
	return result
}
