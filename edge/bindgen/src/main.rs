//! Run as `gaugeway-bindgen IN.wasm FOLDER` in the repository. Writes `core_bg.wasm`, `core.js`, `core.d.ts` and the
//! price table into the folder.

#[path = "../../../src/signal/cost/lines.rs"]
mod table;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(plugin), Some(folder)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: gaugeway-bindgen IN.wasm FOLDER");
        return ExitCode::FAILURE;
    };
    match generate(&plugin, folder.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gaugeway-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The generated JavaScript does not load the .wasm; the entry file of each platform does.
fn generate(plugin: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut bindgen = Bindgen::new();
    bindgen.web(true)?.typescript(true).omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.input_path(plugin).out_name("core").generate(folder)?;
    let prices = {
        let read = std::fs::read_to_string;
        table::lines(&read(table::TABLE)?, &read(table::SUPPLEMENT)?)?
    };
    // Names and rates contain no characters that have a meaning in a template literal.
    if prices.contains(['`', '\\', '$']) {
        return Err(format!(
            "{} contains a backquote, backslash or dollar sign, which have a meaning in JavaScript",
            table::TABLE
        )
        .into());
    }
    let module = format!("// Made from {} by ./build.sh edge.\nexport const prices = `{prices}`;\n", table::TABLE);
    std::fs::write(folder.join("prices.js"), module)?;
    Ok(())
}
