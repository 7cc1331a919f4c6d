//! Settings of routes, from their metadata. Each distinct metadata is parsed once, not for each request.
//!
//! Bound: the metadata of [`MOST`] routes. If there are more, for example after many changes of the routes, all are dropped and parsed again.

use std::collections::HashMap;
use std::rc::Rc;

use super::Observer;

/// Maximum number of observers in the cache.
const MOST: usize = 256;

/// The member of the metadata that has the settings: one string of JSON.
const SETTINGS: &[u8] = b"config";

/// A cache of the observers of routes, by their metadata.
#[derive(Default)]
pub struct Routes {
    observers: HashMap<Vec<u8>, Rc<Observer>>,
}

impl Routes {
    /// The observer of a route with this metadata, which has these members. If they are not valid, returns the plugin's own
    /// observer, and the first time the error too.
    pub fn observer(
        &mut self,
        plugin: &Rc<Observer>,
        metadata: &[u8],
        members: &[(&[u8], &[u8])],
    ) -> (Rc<Observer>, Option<String>) {
        if let Some(observer) = self.observers.get(metadata) {
            return (Rc::clone(observer), None);
        }
        let (observer, fault) = match read(plugin, members) {
            Ok(observer) => (observer, None),
            Err(error) => (Rc::clone(plugin), Some(error)),
        };
        if self.observers.len() >= MOST {
            self.observers.clear();
        }
        self.observers.insert(metadata.to_owned(), Rc::clone(&observer));
        (observer, fault)
    }
}

/// # Errors
/// A member that is not [`SETTINGS`], or settings that are not valid.
fn read(plugin: &Rc<Observer>, members: &[(&[u8], &[u8])]) -> Result<Rc<Observer>, String> {
    if let Some((name, _)) = members.iter().find(|(name, _)| *name != SETTINGS) {
        let name = String::from_utf8_lossy(name);
        return Err(format!("unknown key '{name}'; put the settings into the key 'config', as one string of JSON"));
    }
    let settings = members.first().map_or(&[][..], |(_, settings)| settings.trim_ascii());
    match (settings.first(), core::str::from_utf8(settings)) {
        (None, _) => Ok(Rc::clone(plugin)),
        (Some(b'{'), Ok(text)) => Ok(Rc::new(plugin.on_route(text).map_err(|error| error.to_string())?)),
        // Envoy passes a map, a list or a number in a binary form.
        _ => Err("the key 'config' must be one string of JSON, like '{\"agent\": {\"max_iterations\": 3}}'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_text_is_parsed_once_and_an_error_is_returned_once() {
        let plugin = Rc::new(Observer::new(Config::parse("").unwrap()));
        let mut routes = Routes::default();
        let three = [(&b"config"[..], &br#" {"agent": {"max_iterations": 3}}"#[..])];
        let (first, fault) = routes.observer(&plugin, b"three", &three);
        assert_eq!((first.config.agent.max_iterations, fault), (3, None));
        assert!(Rc::ptr_eq(&first, &routes.observer(&plugin, b"three", &three).0));
        for (name, wrong, told) in [
            ("config", &b"{"[..], "configuration is not JSON"),
            ("config", b"{\xff", "the key 'config' must be one string"),
            ("config", b"\x01\0\0\0\x05\0\0\0agent", "the key 'config' must be one string"),
            ("config", b"{\"x\": 1}", "x: "),
            ("agent", b"{}", "unknown key 'agent'; put the settings into the key 'config'"),
        ] {
            let members = [(name.as_bytes(), wrong)];
            let (observer, fault) = routes.observer(&plugin, wrong, &members);
            assert!(Rc::ptr_eq(&observer, &plugin) && fault.unwrap().starts_with(told));
            assert_eq!(routes.observer(&plugin, wrong, &members).1, None);
        }
    }

    #[test]
    fn metadata_without_settings_has_the_observer_of_the_plugin() {
        let plugin = Rc::new(Observer::new(Config::parse("").unwrap()));
        for members in [&[][..], &[(&b"config"[..], &b" "[..])]] {
            let (observer, fault) = Routes::default().observer(&plugin, b"metadata", members);
            assert!(Rc::ptr_eq(&observer, &plugin) && fault.is_none());
        }
    }

    #[test]
    fn the_number_of_texts_in_the_cache_is_bounded() {
        let plugin = Rc::new(Observer::new(Config::parse("").unwrap()));
        let mut routes = Routes::default();
        for n in 1..=1000 {
            let text = format!("{{\"agent\": {{\"max_iterations\": {n}}}}}");
            let members = [(&b"config"[..], text.as_bytes())];
            assert_eq!(routes.observer(&plugin, text.as_bytes(), &members).0.config.agent.max_iterations, n);
            assert!(routes.observers.len() <= MOST);
        }
    }
}
