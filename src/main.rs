//! x
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = trailhouse::demo::launcher::dispatch(std::env::args_os()) {
        return code;
    }
    ExitCode::SUCCESS
}
