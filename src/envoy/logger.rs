//! The backend of the `log` crate: one line in Envoy's log for each record and each panic.
//!
//! The SDK's own logger is not used: it panics if the host refuses the line, and passes control characters on.

use log::{Level, LevelFilter, Log, Metadata, Record};
use proxy_wasm::types::LogLevel;

use super::host;

/// Sets the logger and the panic hook. Call it once, when the VM starts.
pub fn install() {
    // Fails only if a logger is set already.
    if log::set_logger(&Logger).is_ok() {
        // The SDK logs at `trace` level; this shell at `warn` and `error`.
        log::set_max_level(LevelFilter::Warn);
    }
    std::panic::set_hook(Box::new(|panic| write(LogLevel::Critical, &panic.to_string())));
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                Level::Error => LogLevel::Error,
                Level::Warn => LogLevel::Warn,
                Level::Info => LogLevel::Info,
                Level::Debug => LogLevel::Debug,
                Level::Trace => LogLevel::Trace,
            };
            write(level, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Maximum length of a line, in characters.
const LINE: usize = 500;

/// Writes one line. A message can hold text of the configuration or of route metadata, of any length and with line breaks,
/// so control characters become spaces and the line is cut to [`LINE`].
fn write(level: LogLevel, message: &str) {
    let characters = "gaugeway: ".chars().chain(message.chars());
    let line: String = characters.map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
    host::log(level, &line);
}
