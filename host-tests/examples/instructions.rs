//! Prints what the compiled filter does at a request, and at news, as JSON:
//! `cargo xtask bench instructions` makes a table of it.

fn main() -> Result<(), serde_json::Error> {
    let figures = kya_host_tests::kya::instructions::measure();
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}
