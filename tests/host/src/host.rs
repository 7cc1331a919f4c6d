//! A proxy-wasm host on wasmtime for the released plugin. It can refuse any call with any status, return less of a body
//! than there is, omit a function and invoke callbacks in any order that the ABI allows. Like Envoy it gives access to
//! a header map only in that map's own callback and at the end. It records everything that the guest tries to change.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use wasmtime::{Engine, Func, Instance, Linker, Module, Store, Val};

use super::host_calls::{
    self, Headers, REQUEST_BODY, REQUEST_HEADERS, RESPONSE_BODY, RESPONSE_HEADERS, Refuse, State, Stream,
};
use gaugeway_demo::fixtures::Fixture;

/// The return value of a callback that lets the stream continue.
pub const CONTINUE: u32 = 0;

/// The plugin in a VM, with one root context.
pub struct Host {
    store: Store<State>,
    instance: Instance,
    callbacks: HashMap<&'static str, Func>,
    root: u32,
    last: u32,
}

/// The plugin of GAUGEWAY_WASM, compiled once.
pub fn plugin() -> &'static Module {
    static PLUGIN: OnceLock<Module> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let path = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test host");
        Module::from_file(&Engine::default(), &path).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    })
}

impl Host {
    /// A host that serves every call. Returns an error if the plugin rejects the configuration.
    pub fn new(configuration: &str) -> wasmtime::Result<Self> {
        Self::refusing(configuration, Box::new(|_| None))
    }

    /// A host that uses `refuse` from the first call on.
    pub fn refusing(configuration: &str, refuse: Refuse) -> wasmtime::Result<Self> {
        let module = plugin();
        let mut store = Store::new(module.engine(), State::refusing(refuse));
        store.limiter(|state| &mut state.limits);
        let mut linker = Linker::new(module.engine());
        host_calls::serve(&mut linker, module)?;
        let instance = linker.instantiate(&mut store, module)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        store.data_mut().malloc = instance.get_typed_func(&mut store, "malloc").ok();
        let mut host = Self { store, instance, callbacks: HashMap::new(), root: 0, last: 0 };
        host.call("_initialize", &[])?;
        host.configure(configuration)?;
        Ok(host)
    }

    /// Starts a root context with a configuration for all streams opened from now on, and ends the previous one.
    /// Returns an error if the guest rejects the configuration.
    pub fn configure(&mut self, configuration: &str) -> wasmtime::Result<()> {
        let old = std::mem::replace(&mut self.root, self.last + 1);
        self.last = self.root;
        self.store.data_mut().configuration = configuration.as_bytes().to_vec();
        self.enter(self.root, &[], None);
        self.call("proxy_on_context_create", &[self.root, 0])?;
        self.call("proxy_on_vm_start", &[self.root, 0])?;
        let size = configuration.len() as u32;
        let taken = self.call("proxy_on_configure", &[self.root, size])? != Some(0);
        let dropped = if taken { old } else { std::mem::replace(&mut self.root, old) };
        if dropped != 0 {
            self.enter(dropped, &[], None);
            self.call("proxy_on_delete", &[dropped])?;
        }
        if taken { Ok(()) } else { Err(wasmtime::Error::msg(self.state().log.join("\n"))) }
    }

    pub fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Size of the guest's memory in bytes. It never shrinks.
    pub fn memory(&self) -> usize {
        self.store.data().memory.expect("the plugin does not export its memory").data_size(&self.store)
    }

    pub fn open(&mut self) -> wasmtime::Result<u32> {
        self.last += 1;
        let id = self.last;
        self.state().streams.insert(id, Stream::default());
        self.enter(id, &[], None);
        self.call("proxy_on_context_create", &[id, self.root])?;
        Ok(id)
    }

    pub fn request_headers(&mut self, id: u32, headers: Headers, end: bool) -> wasmtime::Result<u32> {
        let count = headers.len() as u32;
        self.stream(id).request = headers;
        self.enter(id, &[REQUEST_HEADERS], None);
        let action = self.action("proxy_on_request_headers", &[id, count, end.into()])?;
        self.stream(id).held = action != CONTINUE;
        Ok(action)
    }

    pub fn response_headers(&mut self, id: u32, headers: Headers, end: bool) -> wasmtime::Result<u32> {
        let count = headers.len() as u32;
        self.stream(id).response = headers;
        self.enter(id, &[RESPONSE_HEADERS], None);
        self.action("proxy_on_response_headers", &[id, count, end.into()])
    }

    pub fn request_body(&mut self, id: u32, bytes: &[u8], end: bool) -> wasmtime::Result<u32> {
        self.enter(id, &[], Some((REQUEST_BODY, bytes.to_vec())));
        self.action("proxy_on_request_body", &[id, bytes.len() as u32, end.into()])
    }

    pub fn response_body(&mut self, id: u32, bytes: &[u8], end: bool) -> wasmtime::Result<u32> {
        self.enter(id, &[], Some((RESPONSE_BODY, bytes.to_vec())));
        self.action("proxy_on_response_body", &[id, bytes.len() as u32, end.into()])
    }

    pub fn request_trailers(&mut self, id: u32) -> wasmtime::Result<u32> {
        self.enter(id, &[], None);
        self.action("proxy_on_request_trailers", &[id, 1])
    }

    pub fn response_trailers(&mut self, id: u32) -> wasmtime::Result<u32> {
        self.enter(id, &[], None);
        self.action("proxy_on_response_trailers", &[id, 1])
    }

    /// The body of the last callback, as the guest left it.
    pub fn body(&mut self) -> Vec<u8> {
        self.state().buffer.take().map(|(_, bytes)| bytes).unwrap_or_default()
    }

    pub fn log(&mut self, id: u32) -> wasmtime::Result<()> {
        self.enter(id, &[REQUEST_HEADERS, RESPONSE_HEADERS], None);
        self.call("proxy_on_log", &[id]).map(drop)
    }

    pub fn delete(&mut self, id: u32) -> wasmtime::Result<Stream> {
        self.enter(id, &[], None);
        self.call("proxy_on_delete", &[id])?;
        Ok(self.state().streams.remove(&id).unwrap_or_default())
    }

    pub fn tick(&mut self) -> wasmtime::Result<()> {
        self.enter(self.root, &[], None);
        self.call("proxy_on_tick", &[self.root]).map(drop)
    }

    /// Passes a whole fixture with its bodies cut into `piece` bytes. Returns the filter state that the guest wrote.
    pub fn pass(&mut self, fixture: &Fixture, piece: usize) -> wasmtime::Result<BTreeMap<String, String>> {
        let id = self.open()?;
        let mut actions = vec![self.request_headers(id, request_head(fixture), false)?];
        for bytes in fixture.request.body.chunks(piece) {
            actions.push(self.request_body(id, bytes, false)?);
        }
        actions.push(self.request_body(id, b"", true)?);
        actions.push(self.response_headers(id, response_head(fixture), false)?);
        for bytes in fixture.response.body.chunks(piece) {
            actions.push(self.response_body(id, bytes, false)?);
        }
        actions.push(self.response_body(id, b"", true)?);
        self.log(id)?;
        assert!(actions.iter().all(|action| *action == CONTINUE), "{}: a callback paused the stream", fixture.id);
        Ok(self.delete(id)?.written)
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        self.state().streams.get_mut(&id).expect("the stream is not open")
    }

    fn enter(&mut self, active: u32, maps: &'static [u32], buffer: Option<(u32, Vec<u8>)>) {
        let state = self.state();
        (state.active, state.maps, state.buffer) = (active, maps, buffer);
    }

    fn action(&mut self, name: &'static str, arguments: &[u32]) -> wasmtime::Result<u32> {
        self.call(name, arguments).map(|result| result.expect("the callback returned no action"))
    }

    fn call(&mut self, name: &'static str, arguments: &[u32]) -> wasmtime::Result<Option<u32>> {
        let Self { store, instance, callbacks, .. } = self;
        let callback = callbacks.entry(name).or_insert_with(|| {
            instance.get_func(&mut *store, name).unwrap_or_else(|| panic!("the plugin does not export {name}"))
        });
        let arguments: Vec<_> = arguments.iter().map(|argument| Val::I32(*argument as i32)).collect();
        let mut results = vec![Val::I32(0); callback.ty(&*store).results().len()];
        callback.call(store, &arguments, &mut results)?;
        Ok(results.first().and_then(Val::i32).map(|value| value as u32))
    }
}

/// The fixture's request headers as Envoy passes them.
pub fn request_head(fixture: &Fixture) -> Headers {
    let request = &fixture.request;
    let host = request.header("host").unwrap_or_default();
    let pseudo =
        [(":method", request.method.as_str()), (":scheme", "http"), (":path", &request.path), (":authority", host)];
    let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs(pseudo.into_iter().chain(own.filter(|(name, _)| *name != "host")))
}

pub fn response_head(fixture: &Fixture) -> Headers {
    let status = fixture.response.status.to_string();
    let own = fixture.response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs([(":status", status.as_str())].into_iter().chain(own))
}

fn pairs<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Headers {
    headers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}
