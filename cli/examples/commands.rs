//! Prints `docs/commands.md`: `cargo run -q -p kya-cli --example commands > docs/commands.md`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(kya_cli::reference().as_bytes())
}
