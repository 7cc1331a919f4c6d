//! `recorded serve ADDRESS` and `recorded send ADDRESS`, for envoy/docker-compose.yaml.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Err(why) = gaugeway_demo::recorded::run(&arguments).await;
    eprintln!("recorded: {why}");
    ExitCode::FAILURE
}
