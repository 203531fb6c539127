//! What goes over the streams of a sidecar.

use std::collections::{BTreeMap, BTreeSet};

use kya_core::wire::ControlMessage;
use prost::Message as _;

use super::{BEAT_NANOS, ControlPlane, Sidecar};
use crate::StreamKey;

impl Sidecar {
    /// Everything up to the newest revision was sent on this stream.
    pub(super) fn served(&mut self, key: StreamKey, control: &ControlPlane) {
        if let Some(feed) = self.feeds.find(key) {
            feed.pushed = Some(control.revision());
        }
    }

    pub(super) fn beat_if_due(&mut self, control: &mut ControlPlane) {
        if self.proxy.monotonic() - self.beaten >= BEAT_NANOS {
            self.beat(control);
        }
    }

    /// A stream that is over, or whose VM has failed, hears nothing.
    pub(super) fn send_on(&mut self, key: StreamKey, message: &ControlMessage) {
        self.proxy.send(key, &message.encode_to_vec());
        self.proxy.run_until_idle();
    }

    pub(super) fn open_streams(&self) -> Vec<StreamKey> {
        let open = self.proxy.grpc_streams().into_iter();
        open.filter(|stream| !self.paused.contains(&stream.vm)).map(|stream| stream.key).collect()
    }

    pub(super) fn paused_streams(&self) -> BTreeSet<StreamKey> {
        let open = self.proxy.grpc_streams().into_iter();
        open.filter(|stream| self.paused.contains(&stream.vm)).map(|stream| stream.key).collect()
    }

    /// Reads what the filter sent.
    #[track_caller]
    pub(super) fn listen(&mut self) {
        let open = self.proxy.grpc_streams().into_iter().map(|stream| stream.key);
        let keys: BTreeSet<_> = open.chain(self.feeds.keys()).collect();
        let sent: BTreeMap<_, _> =
            keys.into_iter().map(|key| (key, self.proxy.take_sent(key))).collect();
        for (key, bytes) in sent.iter().flat_map(|(key, all)| all.iter().map(move |it| (*key, it)))
        {
            self.feeds.heard(key, bytes);
        }
    }
}
