//! The services of envoy/docker-compose.yaml.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manifests::{documents, path};

pub const FILE: &str = "envoy/docker-compose.yaml";

pub fn services() -> BTreeMap<String, Value> {
    let file = &documents(FILE)[0];
    file["services"].as_object().unwrap().iter().map(|(name, service)| (name.clone(), service.clone())).collect()
}

pub fn service(name: &str) -> Value {
    services().remove(name).unwrap_or_else(|| panic!("there is no service {name}"))
}

/// The words of a service's command.
pub fn command(name: &str) -> Vec<String> {
    service(name)["command"].as_array().unwrap().iter().map(text).collect()
}

/// Source and target of each mount.
pub fn mounts(service: &Value) -> Vec<(PathBuf, PathBuf)> {
    let volumes = service["volumes"].as_array().into_iter().flatten().map(text);
    volumes
        .map(|volume| {
            let parts: Vec<_> = volume.split(':').collect();
            assert_eq!((parts.len(), parts[2]), (3, "ro"), "{volume} must have the form FROM:TO:ro");
            (path("envoy").join(parts[0].strip_prefix("./").unwrap()), PathBuf::from(parts[1]))
        })
        .collect()
}

/// Writes the mounted files below `root`, each after `change`, which gets its name.
pub fn mount(name: &str, root: &Path, change: impl Fn(&str, String) -> String) {
    for (from, to) in mounts(&service(name)) {
        let to = root.join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let file = to.file_name().unwrap().to_str().unwrap();
        fs::write(&to, change(file, fs::read_to_string(&from).unwrap())).unwrap();
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}
