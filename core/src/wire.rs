//! The messages of the published protocol, generated from
//! `core/proto/kya/v1/enforcement.proto`. They are what travels: nothing in
//! them has been checked. [`Verifier`](crate::Verifier) checks.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/kya.v1.rs"));
