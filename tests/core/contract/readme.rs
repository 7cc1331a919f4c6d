//! README.md is short and names only what exists.

use super::{read, root};

#[test]
fn the_readme_has_at_most_150_lines_and_names_only_what_exists() {
    let (readme, script) = (read("README.md"), read("build.sh"));
    assert!(readme.lines().count() <= 150, "README.md has {} lines", readme.lines().count());
    for rest in readme.split("./build.sh ").skip(1) {
        let command: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        assert!(script.contains(&format!("command_{command}()")), "build.sh has no command '{command}'");
    }
    let yaml = read("envoy/envoy.yaml");
    let blocks: Vec<_> = readme.split("```yaml\n").skip(1).collect();
    assert!(!blocks.is_empty(), "README.md does not show the filter");
    for line in blocks.iter().flat_map(|block| block.lines().take_while(|line| *line != "```")) {
        assert!(yaml.contains(line.trim()), "README.md shows a line that envoy.yaml does not have: {line}");
    }
    for target in readme.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
        assert!(root().join(target).exists(), "README.md links to {target}, which does not exist");
    }
}
