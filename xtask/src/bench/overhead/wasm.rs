//! Filters for comparison, written by hand in the text form of WebAssembly: one that does
//! nothing, and ones that do one thing many times.
//!
//! They have every callback of a request that kya's filter has, since what a proxy pays
//! for a filter that does nothing is these calls.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// How often a piece is done in a request. The cost of one is the slope between the two:
/// what a request costs besides is in both.
pub(super) const REPEATS: [u32; 2] = [100, 300];

/// Something that the filter does at a request, small enough to be done many times.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// What it needs from the proxy: the name of the function, and its signature.
    imports: &'static [(&'static str, &'static str)],
    /// Done once, when the plugin is configured.
    before: &'static str,
    once: &'static str,
}

/// Its kind, its name, and where its number goes.
const DEFINE_METRIC: (&str, &str) = ("proxy_define_metric", "(param i32 i32 i32 i32) (result i32)");

/// A value of the size that a chunk of tokens has, under a key as long as one of kya's.
const GET_SHARED: (&str, &str) =
    ("proxy_get_shared_data", "(param i32 i32 i32 i32 i32) (result i32)");

/// Where a module has from what is not of the ABI of proxies.
const WASI: &str = "wasi_snapshot_preview1";

pub(super) const PIECES: [Piece; 9] = [
    Piece {
        name: "get_metric",
        what: "read a gauge, by which a worker sees whether there is news",
        imports: &[DEFINE_METRIC, ("proxy_get_metric", "(param i32 i32) (result i32)")],
        before: "(drop (call $proxy_define_metric \
                 (i32.const 1) (i32.const 0) (i32.const 14) (i32.const 64)))",
        once: "(drop (call $proxy_get_metric (i32.load (i32.const 64)) (i32.const 72)))",
    },
    Piece {
        name: "get_time",
        what: "read the clock",
        imports: &[("proxy_get_current_time_nanoseconds", "(param i32) (result i32)")],
        before: "",
        once: "(drop (call $proxy_get_current_time_nanoseconds (i32.const 72)))",
    },
    Piece {
        name: "get_monotonic",
        what: "read the clock that is never set",
        imports: &[("clock_time_get", "(param i32 i64 i32) (result i32)")],
        before: "",
        once: "(drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72)))",
    },
    Piece {
        name: "count",
        what: "add one to a counter",
        imports: &[DEFINE_METRIC, ("proxy_increment_metric", "(param i32 i64) (result i32)")],
        before: "(drop (call $proxy_define_metric \
                 (i32.const 0) (i32.const 0) (i32.const 14) (i32.const 64)))",
        once: "(drop (call $proxy_increment_metric \
               (i32.load (i32.const 64)) (i64.const 1)))",
    },
    Piece {
        name: "set_property",
        what: "show a line of 100 bytes to the access log, as filter state",
        imports: &[("proxy_set_property", "(param i32 i32 i32 i32) (result i32)")],
        before: "",
        once: "(drop (call $proxy_set_property \
               (i32.const 0) (i32.const 14) (i32.const 4096) (i32.const 100)))",
    },
    Piece {
        name: "put_header",
        what: "add a header of 30 bytes, and remove it",
        imports: &[
            ("proxy_add_header_map_value", "(param i32 i32 i32 i32 i32) (result i32)"),
            ("proxy_remove_header_map_value", "(param i32 i32 i32) (result i32)"),
        ],
        before: "",
        once: "(drop (call $proxy_add_header_map_value \
               (i32.const 0) (i32.const 0) (i32.const 14) (i32.const 4096) (i32.const 30)))
               (drop (call $proxy_remove_header_map_value \
               (i32.const 0) (i32.const 0) (i32.const 14)))",
    },
    Piece {
        name: "get_chunk",
        what: "copy a chunk of tokens (3584 bytes) out of shared data",
        imports: &[
            ("proxy_set_shared_data", "(param i32 i32 i32 i32 i32) (result i32)"),
            GET_SHARED,
        ],
        before: "(drop (call $proxy_set_shared_data \
                 (i32.const 0) (i32.const 14) (i32.const 4096) (i32.const 3584) (i32.const 0)))",
        once: "(drop (call $proxy_get_shared_data \
               (i32.const 0) (i32.const 14) (i32.const 64) (i32.const 68) (i32.const 72)))",
    },
    Piece {
        name: "get_header",
        what: "read one header by its name",
        imports: &[("proxy_get_header_map_value", "(param i32 i32 i32 i32 i32) (result i32)")],
        before: "",
        once: "(drop (call $proxy_get_header_map_value \
               (i32.const 0) (i32.const 16) (i32.const 13) (i32.const 64) (i32.const 68)))",
    },
    Piece {
        name: "get_headers",
        what: "read all headers at once",
        imports: &[("proxy_get_header_map_pairs", "(param i32 i32 i32) (result i32)")],
        before: "",
        once: "(drop (call $proxy_get_header_map_pairs \
               (i32.const 0) (i32.const 64) (i32.const 68)))",
    },
];

/// Writes the filter that does nothing into `dir`.
pub(super) fn nothing(dir: &Path) -> Result<PathBuf> {
    write(dir, "noop", &module(None))
}

/// Writes the filter that does a piece so often at every request.
pub(super) fn piece(dir: &Path, piece: &Piece, repeats: u32) -> Result<PathBuf> {
    write(dir, &piece.listener(repeats), &module(Some((piece, repeats))))
}

impl Piece {
    /// The name of the listener whose filter does it so often.
    pub(super) fn listener(&self, repeats: u32) -> String {
        format!("piece_{}_{repeats}", self.name)
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(format!("{name}.wasm"));
    fs::write(&path, wat::parse_str(text).with_context(|| name.to_owned())?)?;
    Ok(path)
}

fn module(piece: Option<(&Piece, u32)>) -> String {
    let (imports, before, body) = match piece {
        None => (String::new(), "", String::new()),
        Some((piece, repeats)) => {
            let import = |(name, kind): &(&str, &str)| {
                let from = if name.starts_with("proxy_") { "env" } else { WASI };
                format!("  (import \"{from}\" \"{name}\" (func ${name} {kind}))\n")
            };
            let body = format!(
                "(local $left i32) (local.set $left (i32.const {repeats}))
    (loop $again
      {}
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))",
                piece.once
            );
            (piece.imports.iter().map(import).collect(), piece.before, body)
        }
    };
    // Whatever the proxy hands over goes to the same place: nobody reads it.
    format!(
        r#"(module
{imports}  (memory (export "memory") 4)
  (data (i32.const 0) "overhead.piece")
  (data (i32.const 16) "authorization")
  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    {before} (i32.const 1))
  (func (export "proxy_on_tick") (param i32))
  (func (export "proxy_on_queue_ready") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    {body} (i32.const 0))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_a_module() {
        let dir = tempfile::tempdir().unwrap();
        nothing(dir.path()).unwrap();
        for one in &PIECES {
            let [few, many] = REPEATS.map(|repeats| piece(dir.path(), one, repeats).unwrap());
            assert_ne!(fs::read(few).unwrap(), fs::read(many).unwrap());
        }
    }

    /// Whoever adds a callback of a request to the filter adds it here.
    #[test]
    fn the_filter_that_does_nothing_has_every_callback_of_a_request_that_kya_has() {
        let exports = include_str!("../../../../filter/src/abi/exports.rs");
        let names = exports.split("extern \"C\" fn ").skip(1).map(|it| it.split('(').next());
        let text = module(None);
        let of_requests = names.flatten().filter(|name| {
            ["proxy_on_request", "proxy_on_response", "proxy_on_context", "proxy_on_log"]
                .iter()
                .chain(&["proxy_on_done", "proxy_on_delete"])
                .any(|start| name.starts_with(start))
        });
        let mut count = 0;
        for name in of_requests {
            assert!(text.contains(&format!("\"{name}\"")), "{name}");
            count += 1;
        }
        assert!(count >= 10, "{count}");
    }
}
