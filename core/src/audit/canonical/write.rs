//! Writing: serde's data model into canonical JSON, in one buffer.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::number;

/// One member of an object that is being written: `"name":value` at `whole`.
struct Member {
    whole: Range<usize>,
    /// Where its name ends, quotes included.
    name_end: usize,
    /// Whether its name is [`plain`].
    plain: bool,
}

/// What has been written so far. Members are written as they come and put into their
/// order when their object ends: most are in it already, or nearly.
#[derive(Default)]
struct Written {
    out: Vec<u8>,
    members: Vec<Member>,
    /// For each object that has not ended, where its members begin in `members`.
    objects: Vec<usize>,
    /// Room for putting members in order.
    ordered: Vec<u8>,
}

struct Jcs<'a>(&'a mut Written);

pub(super) fn to_text<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut written = Written { out: Vec::with_capacity(1024), ..Written::default() };
    // All of it goes into `written`; the writer beside it stays empty.
    let mut serializer = Serializer::with_formatter(io::sink(), Jcs(&mut written));
    value.serialize(&mut serializer)?;
    String::from_utf8(written.out).map_err(|_| wrong("not UTF-8"))
}

fn wrong(text: &'static str) -> serde_json::Error {
    serde_json::Error::io(refused(text))
}

fn refused(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl Written {
    fn exact(&mut self, value: u64, negative: bool) -> io::Result<()> {
        if value > number::MAX_EXACT {
            return Err(refused("a number of 2^53 or more, which not every parser reads alike"));
        }
        if negative {
            self.out.push(b'-');
        }
        CompactFormatter.write_u64(&mut self.out, value)
    }

    /// Puts the members of the innermost object in their order.
    fn order(&mut self) -> io::Result<()> {
        let begin = self.objects.pop().ok_or_else(|| refused("an end without a beginning"))?;
        let Some(members) = self.members.get_mut(begin..) else { return Ok(()) };
        let (Some(first), Some(last)) = (members.first(), members.last()) else { return Ok(()) };
        let all = first.whole.start..last.whole.end;
        let out = &self.out;
        let name = |it: &Member| out.get(it.whole.start..it.name_end).unwrap_or_default();
        let order = |a: &Member, b: &Member| by_name((name(a), a.plain), (name(b), b.plain));
        if !members.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
            members.sort_unstable_by(order);
            let twice = |pair: &[Member]| matches!(pair, [a, b] if name(a) == name(b));
            if members.windows(2).any(twice) {
                return Err(refused("two members of one name"));
            }
            self.ordered.clear();
            for member in &*members {
                if !self.ordered.is_empty() {
                    self.ordered.push(b',');
                }
                self.ordered
                    .extend_from_slice(self.out.get(member.whole.clone()).unwrap_or_default());
            }
            if let Some(place) = self.out.get_mut(all)
                && place.len() == self.ordered.len()
            {
                place.copy_from_slice(&self.ordered);
            }
        }
        self.members.truncate(begin);
        Ok(())
    }
}

/// Whether every byte of a name, as it is written, is a character of it: no escapes, only
/// ASCII.
pub(super) fn plain(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
}

/// The order of RFC 8785 section 3.2.3, of names as they are written, with their quotes:
/// by UTF-16 code units. Beside each is said whether it is [`plain`].
pub(super) fn by_name((a, a_plain): (&[u8], bool), (b, b_plain): (&[u8], bool)) -> Ordering {
    // Then bytes are code units. The closing quote would count as one, so it goes.
    if let (true, true, [a @ .., _], [b @ .., _]) = (a_plain, b_plain, a, b) {
        return a.cmp(b);
    }
    // What is no name has been refused, or was never written.
    let name = |it: &[u8]| serde_json::from_slice::<String>(it).unwrap_or_default();
    let units = |it: &[u8]| name(it).encode_utf16().collect::<Vec<_>>();
    units(a).cmp(&units(b))
}

impl Formatter for Jcs<'_> {
    fn write_null<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        CompactFormatter.write_null(&mut self.0.out)
    }

    fn write_bool<W: ?Sized + io::Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        CompactFormatter.write_bool(&mut self.0.out, value)
    }

    fn write_i8<W: ?Sized + io::Write>(&mut self, w: &mut W, value: i8) -> io::Result<()> {
        self.write_i64(w, value.into())
    }

    fn write_i16<W: ?Sized + io::Write>(&mut self, w: &mut W, value: i16) -> io::Result<()> {
        self.write_i64(w, value.into())
    }

    fn write_i32<W: ?Sized + io::Write>(&mut self, w: &mut W, value: i32) -> io::Result<()> {
        self.write_i64(w, value.into())
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, _: &mut W, value: i64) -> io::Result<()> {
        self.0.exact(value.unsigned_abs(), value < 0)
    }

    fn write_i128<W: ?Sized + io::Write>(&mut self, _: &mut W, value: i128) -> io::Result<()> {
        self.0.exact(u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX), value < 0)
    }

    fn write_u8<W: ?Sized + io::Write>(&mut self, _: &mut W, value: u8) -> io::Result<()> {
        self.0.exact(value.into(), false)
    }

    fn write_u16<W: ?Sized + io::Write>(&mut self, _: &mut W, value: u16) -> io::Result<()> {
        self.0.exact(value.into(), false)
    }

    fn write_u32<W: ?Sized + io::Write>(&mut self, _: &mut W, value: u32) -> io::Result<()> {
        self.0.exact(value.into(), false)
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, _: &mut W, value: u64) -> io::Result<()> {
        self.0.exact(value, false)
    }

    fn write_u128<W: ?Sized + io::Write>(&mut self, _: &mut W, value: u128) -> io::Result<()> {
        self.0.exact(u64::try_from(value).unwrap_or(u64::MAX), false)
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, w: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(w, value.into())
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, _: &mut W, value: f64) -> io::Result<()> {
        let text = number::written(value).ok_or_else(|| refused("not a number"))?;
        self.0.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn write_number_str<W: ?Sized + io::Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(refused("a number of any size, which not every parser reads"))
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.out.push(b'"');
        Ok(())
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.out.push(b'"');
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        _: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.out.extend_from_slice(fragment.as_bytes());
        Ok(())
    }

    // The escapes of serde_json are those of RFC 8785 section 3.2.2.2: the short ones
    // where there is one, else `\u00` and small hexadecimal digits, and none that need
    // not be.
    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        _: &mut W,
        escape: serde_json::ser::CharEscape,
    ) -> io::Result<()> {
        CompactFormatter.write_char_escape(&mut self.0.out, escape)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        CompactFormatter.begin_array(&mut self.0.out)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        CompactFormatter.end_array(&mut self.0.out)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        _: &mut W,
        first: bool,
    ) -> io::Result<()> {
        CompactFormatter.begin_array_value(&mut self.0.out, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.objects.push(self.0.members.len());
        CompactFormatter.begin_object(&mut self.0.out)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.order()?;
        CompactFormatter.end_object(&mut self.0.out)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        _: &mut W,
        first: bool,
    ) -> io::Result<()> {
        CompactFormatter.begin_object_key(&mut self.0.out, first)?;
        let at = self.0.out.len();
        self.0.members.push(Member { whole: at..at, name_end: at, plain: false });
        Ok(())
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.0.members.last_mut() {
            member.name_end = self.0.out.len();
            member.plain = plain(self.0.out.get(member.whole.start..).unwrap_or_default());
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        CompactFormatter.begin_object_value(&mut self.0.out)
    }

    // Objects within the value have taken their members away again.
    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.0.members.last_mut() {
            member.whole.end = self.0.out.len();
        }
        Ok(())
    }
}
