//! The key of all hashes that tell callers and their tool calls apart.
//!
//! WebAssembly has no source of random numbers. The key is 32 bytes of WASI's `random_get`, which Envoy answers with `RAND_bytes` of
//! BoringSSL. The first VM of the process that starts makes it and stores it in Envoy's shared data; all workers, and the
//! VMs of later configurations, take that one. It lives as long as the process has a VM with this `vm_id`.
//!
//! Nobody outside can guess it: it has 256 random bits, is never written to a log, an attribute, a metric or a request, and the
//! hashes made with it, by SipHash with 128 bits that follow from it, do not leave the process either. Only plugins that the
//! operator gives the same `vm_id` can read it.
//!
//! A host without `random_get` or without shared data has no key. Its exchanges share nothing.

use std::rc::Rc;

use super::host;
use crate::text::hash::Key;

/// The name in the shared data.
const NAME: &str = "gaugeway.secret";

/// The key of this process. None if the host cannot make or keep one.
pub fn secret() -> Option<Rc<Key>> {
    let secret = kept().or_else(|| {
        host::create_shared(NAME, &host::random()?);
        kept()
    });
    secret.map(|bytes| Rc::new(Key::new(&bytes)))
}

fn kept() -> Option<[u8; 32]> {
    host::shared(NAME)?.0.try_into().ok()
}
