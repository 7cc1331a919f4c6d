//! `gaugeway-bindgen IN.wasm FOLDER` leaves `core_bg.wasm`, `core.js` and `core.d.ts` in the folder.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(plugin), Some(folder)) = (arguments.next(), arguments.next()) else {
        eprintln!("gaugeway-bindgen IN.wasm FOLDER");
        return ExitCode::FAILURE;
    };
    match generate(&plugin, &folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gaugeway-bindgen: {plugin}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The glue loads nothing by itself: where the .wasm comes from is each platform's entry's business.
fn generate(plugin: &str, folder: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut bindgen = Bindgen::new();
    bindgen.web(true)?.typescript(true).omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.input_path(plugin).out_name("core").generate(folder)?;
    Ok(())
}
