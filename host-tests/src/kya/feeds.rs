//! What a proxy has said on its streams, and how far each was served.

use std::collections::{BTreeMap, VecDeque};

use kya_core::wire::{Hello, ProxyMessage, WorkerState, proxy_message::Message};
use prost::Message as _;

use crate::grpc::StreamKey;

/// The control plane's ends of the streams of one proxy.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    /// What waits for an answer.
    pub(super) inbox: VecDeque<(StreamKey, Message)>,
    /// Manifests that were asked for beyond the first of each stream.
    pub(super) resyncs: usize,
    /// Every question so far: no two have the same nonce.
    nonces: Vec<Vec<u8>>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) key: StreamKey,
    pub(super) hello: Hello,
    /// Of the last question for a manifest.
    pub(super) nonce: Vec<u8>,
    /// The newest revision that was sent, once the hello was answered.
    pub(super) pushed: Option<u64>,
    /// The workers as they were reported, by slot.
    pub(super) workers: BTreeMap<u32, WorkerState>,
}

impl Feeds {
    /// The stream that said hello last.
    pub(super) fn newest(&self) -> Option<&Feed> {
        self.feeds.last()
    }

    pub(super) fn find(&mut self, key: StreamKey) -> Option<&mut Feed> {
        self.feeds.iter_mut().find(|feed| feed.key == key)
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        self.feeds.iter().map(|feed| feed.key).collect()
    }

    /// Takes in what the filter sent, and insists on what the protocol says of it.
    #[track_caller]
    pub(super) fn heard(&mut self, key: StreamKey, bytes: &[u8]) {
        let message = ProxyMessage::decode(bytes).expect("a ProxyMessage");
        let message = message.message.expect("a message that the protocol knows");
        match (&message, self.find(key)) {
            (Message::Hello(hello), None) => {
                let (nonce, hello) = (hello.nonce.clone(), hello.clone());
                self.asked(&nonce);
                let workers = BTreeMap::new();
                self.feeds.push(Feed { key, hello, nonce, pushed: None, workers });
            }
            (Message::Hello(_), Some(_)) => panic!("a second Hello on one stream"),
            (_, None) => panic!("a stream starts with a Hello"),
            (Message::Resync(resync), Some(feed)) => {
                feed.nonce.clone_from(&resync.nonce);
                self.resyncs += 1;
                self.asked(&resync.nonce);
            }
            (Message::Probe(probe), Some(_)) => self.asked(&probe.nonce),
            (Message::Workers(report), Some(feed)) => {
                if report.complete {
                    feed.workers.clear();
                }
                feed.workers.extend(report.workers.iter().map(|one| (one.slot, *one)));
                return;
            }
            (Message::Chunks(_), Some(_)) => {}
        }
        self.inbox.push_back((key, message));
    }

    #[track_caller]
    fn asked(&mut self, nonce: &[u8]) {
        assert!(!self.nonces.iter().any(|known| known == nonce), "a nonce was used twice");
        self.nonces.push(nonce.to_vec());
    }
}
