//! Messages of gRPC as they stand in a stream of HTTP/2.

use anyhow::{Result, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use prost::Message;

/// A compressed-flag and a length before each message.
pub const PREFIX: usize = 5;

/// A message with what stands before it.
pub fn framed(message: &impl Message) -> Bytes {
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &encoded].concat().into()
}

/// Takes a whole message out of what has come.
pub fn next_message(buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else { return Ok(None) };
    let [compressed, a, b, c, d] = *prefix;
    ensure!(compressed == 0, "a compressed message");
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if buffer.len() < PREFIX + length {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use kya_core::wire;

    use super::*;

    #[test]
    fn messages_are_taken_out_whole_however_they_arrive() {
        let one = framed(&wire::Heartbeat { nonce: vec![7; 32] });
        let sent = [&one[..], &one].concat();
        let (mut buffer, mut taken) = (BytesMut::new(), 0);
        for byte in sent {
            buffer.extend_from_slice(&[byte]);
            while let Some(message) = next_message(&mut buffer).unwrap() {
                assert_eq!(message, one[PREFIX..]);
                taken += 1;
            }
        }
        assert_eq!((taken, buffer.len()), (2, 0));
        assert!(next_message(&mut BytesMut::from(&[1, 0, 0, 0, 0][..])).is_err());
    }
}
