//! Settings that routes bring in their metadata. Each distinct text is read once, however many calls take its route.
//!
//! Bound: [`MOST`] texts; when there are more, as after many changes of the routes, all are forgotten and read anew.

use std::collections::HashMap;
use std::rc::Rc;

use super::Observer;

/// Most texts remembered.
const MOST: usize = 256;

/// The routes' settings that are known.
#[derive(Default)]
pub struct Routes {
    observers: HashMap<Vec<u8>, Rc<Observer>>,
}

impl Routes {
    /// The observer for a route with these settings. Where they are wrong it is the plugin's own, and the first time also
    /// what is wrong: traffic never suffers from it.
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
    fn a_text_is_read_once_and_a_wrong_one_is_told_once() {
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
    fn however_many_texts_come_few_are_kept() {
        let plugin = Rc::new(Observer::new(Config::parse("").unwrap()));
        let mut routes = Routes::default();
        for n in 1..=1000 {
            let text = format!("{{\"agent\": {{\"max_iterations\": {n}}}}}");
            assert_eq!(routes.observer(&plugin, text.as_bytes()).0.config.agent.max_iterations, n);
            assert!(routes.observers.len() <= MOST);
        }
    }
}
