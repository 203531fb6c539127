//! What the fuzz targets share: small worlds in which arbitrary events meet.

pub mod changes;
pub mod delegated;
pub mod event;
pub mod model;
pub mod proxy;
pub mod signing;
pub mod world;

use arbitrary::{Arbitrary, Result, Unstructured};

/// As many as the input holds. A `Vec` by itself ends at every other byte, on
/// average, so that little happens in most inputs. It comes last in a structure.
#[derive(Debug)]
pub struct All<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for All<T> {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let mut all = Vec::new();
        while !input.is_empty() {
            all.push(input.arbitrary()?);
        }
        Ok(Self(all))
    }
}
