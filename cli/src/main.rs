//! `kya`: the command line of the kya control plane. See [`kya_cli`].

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "kya: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let args = std::env::args_os();
    let code = runtime.block_on(kya_cli::run(args, &mut io::stdout(), &mut io::stderr()));
    // A name lookup that hangs runs in a thread of its own: `--timeout` has
    // given up on it, so the process does not wait for it either.
    runtime.shutdown_background();
    ExitCode::from(code)
}
