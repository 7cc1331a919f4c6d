//! `gaugeway-bindgen IN.wasm FOLDER`, in the repository, leaves `core_bg.wasm`, `core.js`, `core.d.ts` and the price table in
//! the folder.

#[path = "../../../src/signal/cost/lines.rs"]
mod table;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(plugin), Some(folder)) = (arguments.next(), arguments.next()) else {
        eprintln!("gaugeway-bindgen IN.wasm FOLDER");
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

/// The glue loads nothing by itself: where the .wasm comes from is each platform's entry's business.
fn generate(plugin: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut bindgen = Bindgen::new();
    bindgen.web(true)?.typescript(true).omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.input_path(plugin).out_name("core").generate(folder)?;
    let prices = table::lines(&std::fs::read_to_string(table::TABLE)?)?;
    // Names and rates have nothing that would end the string or begin an expression.
    if prices.contains(['`', '\\', '$']) {
        return Err(format!("{} has a character that means something in JavaScript", table::TABLE).into());
    }
    let module = format!("// Made from {} by ./build.sh edge.\nexport const prices = `{prices}`;\n", table::TABLE);
    std::fs::write(folder.join("prices.js"), module)?;
    Ok(())
}
