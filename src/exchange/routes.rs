//! Settings of routes, from their metadata. Each distinct text is parsed once, not for each request.
//!
//! Bound: [`MOST`] texts. If there are more, for example after many changes of the routes, all are dropped and parsed again.

use std::collections::HashMap;
use std::rc::Rc;

use super::Observer;

/// Maximum number of texts in the cache.
const MOST: usize = 256;

/// A cache of the observers of routes, by the text of their settings.
#[derive(Default)]
pub struct Routes {
    observers: HashMap<Vec<u8>, Rc<Observer>>,
}

impl Routes {
    /// The observer of a route with these settings. If they are not valid, returns the plugin's own observer, and the first
    /// time the error too.
    pub fn observer(&mut self, plugin: &Rc<Observer>, settings: &[u8]) -> (Rc<Observer>, Option<String>) {
        if let Some(observer) = self.observers.get(settings) {
            return (Rc::clone(observer), None);
        }
        let text = core::str::from_utf8(settings).map_err(|_| "is not UTF-8; give one string of JSON".to_owned());
        let read = text.and_then(|text| plugin.on_route(text).map_err(|error| error.to_string()));
        let (observer, fault) = match read {
            Ok(observer) => (Rc::new(observer), None),
            Err(error) => (Rc::clone(plugin), Some(error)),
        };
        if self.observers.len() >= MOST {
            self.observers.clear();
        }
        self.observers.insert(settings.to_owned(), Rc::clone(&observer));
        (observer, fault)
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
        let three = br#"{"agent": {"max_iterations": 3}}"#;
        let (first, fault) = routes.observer(&plugin, three);
        assert_eq!((first.config.agent.max_iterations, fault), (3, None));
        assert!(Rc::ptr_eq(&first, &routes.observer(&plugin, three).0));
        for (wrong, told) in
            [(&b"{"[..], "configuration is not JSON"), (b"\xff", "is not UTF-8"), (b"{\"x\": 1}", "x: ")]
        {
            let (observer, fault) = routes.observer(&plugin, wrong);
            assert!(Rc::ptr_eq(&observer, &plugin) && fault.unwrap().starts_with(told));
            assert_eq!(routes.observer(&plugin, wrong).1, None);
        }
    }

    #[test]
    fn the_number_of_texts_in_the_cache_is_bounded() {
        let plugin = Rc::new(Observer::new(Config::parse("").unwrap()));
        let mut routes = Routes::default();
        for n in 1..=1000 {
            let text = format!("{{\"agent\": {{\"max_iterations\": {n}}}}}");
            assert_eq!(routes.observer(&plugin, text.as_bytes()).0.config.agent.max_iterations, n);
            assert!(routes.observers.len() <= MOST);
        }
    }
}
