//! Writes what is made of the published protocol to where it is committed.

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    for made in kya_proto::generated()? {
        fs::write(made.path, made.text)?;
    }
    Ok(())
}
