//! Runs the fuzz targets of tests/fuzz as ordinary tests: on the kept corpus, on every fixture and on slightly damaged
//! fixtures.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use crate::oracle::dice::Dice;
use targets::{NEXT, TARGETS};

#[test]
fn every_fuzz_target_has_a_program_and_accepts_the_kept_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut programs: Vec<_> =
        files(&folder.join("fuzz_targets")).iter().map(|file| file.file_stem().unwrap().to_owned()).collect();
    let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    programs.sort();
    names.sort_unstable();
    assert_eq!(programs, names);
    let corpus = files(&folder.join("corpus"));
    assert!(!corpus.is_empty());
    for (file, (_, target)) in corpus.iter().flat_map(|file| TARGETS.iter().map(move |target| (file, target))) {
        target(&fs::read(file).unwrap());
    }
}

#[test]
fn every_fuzz_target_accepts_slightly_damaged_bodies() {
    let mut dice = Dice::new(3);
    let fixtures = bodies();
    assert!(fixtures.len() > 200, "only {} bodies were found", fixtures.len());
    for (_, target) in TARGETS {
        for body in &fixtures {
            let mut data = body.clone();
            for _ in 0..dice.below(4) {
                let at = dice.below(data.len());
                match dice.below(3) {
                    0 => data[at] = dice.below(256) as u8,
                    1 => data.truncate(at + 1),
                    _ => drop(data.splice(at..at, NEXT.bytes().chain(*b"\"\n{s"))),
                }
            }
            data[0] = dice.below(256) as u8;
            target(&data);
        }
    }
}

fn bodies() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = files(&fixtures).into_iter().filter(|api| api.is_dir()).flat_map(|api| files(&api));
    let messages =
        cases.flat_map(|case| ["request.http", "response.http"].map(|name| fs::read(case.join(name)).unwrap()));
    let body =
        |message: &[u8]| message.windows(2).position(|pair| pair == b"\n\n").map(|at| message[at + 1..].to_vec());
    messages.filter_map(|message| body(&message)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}
