//! Generates the gRPC service of the published protocol. Its messages are those
//! of `kya_core::wire`, so that both sides of the stream share one set of types.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    const PROTO: &str = "../core/proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile(["kya/v1/enforcement.proto"], [PROTO])?;
    tonic_prost_build::configure()
        .extern_path(".kya.v1", "::kya_core::wire")
        .compile_fds(descriptors)?;
    Ok(())
}
