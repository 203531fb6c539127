//! Rust of the published protocol: the messages, and the gRPC service that the control
//! plane offers. `protox` reads the `.proto` files, so that no system `protoc` is needed.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// What is made of it: a file, and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The file.
    pub path: PathBuf,
    /// What is to stand in it.
    pub text: String,
}

const PACKAGE: &str = "kya.v1.rs";

/// Both files.
///
/// # Errors
/// When a `.proto` file cannot be read.
pub fn generated() -> Result<[Generated; 2], Box<dyn Error>> {
    let proto = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let files = ["kya/v1/enforcement.proto", "kya/v1/audit.proto"];
    let descriptors = protox::compile(files, [&proto])?;

    // The filter speaks gRPC through its host and needs the messages alone.
    let messages = tempfile::tempdir()?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).out_dir(messages.path()).compile_fds(descriptors)?;

    // Its messages are those of `kya_core::wire`, so that both sides of the stream share one
    // set of types.
    let service = tempfile::tempdir()?;
    let descriptors = protox::compile(["kya/v1/enforcement.proto"], [&proto])?;
    tonic_prost_build::configure()
        .extern_path(".kya.v1", "::kya_core::wire")
        .out_dir(service.path())
        .compile_fds(descriptors)?;

    let made = |dir: &tempfile::TempDir, path: &str| {
        let text = fs::read_to_string(dir.path().join(PACKAGE))?;
        Ok::<_, std::io::Error>(Generated { path: proto.join(path).join(PACKAGE), text })
    };
    Ok([made(&messages, "../src/wire")?, made(&service, "../../control-plane/src/rpc")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_the_protocol_says() {
        for Generated { path, text } in generated().unwrap() {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            let hint = "run `cargo xtask schema` and commit it";
            assert!(committed == text, "{} is not up to date: {hint}", path.display());
        }
    }
}
