//! One direction of a stream: what arrived, what the guest holds, what went on.

use super::Message;
use crate::headers::HeaderMap;

/// The answer of a phase that lets things go on.
pub(crate) const CONTINUE: u32 = 0;
/// The answers of a body phase that hold it: buffered, and seen whole the next
/// time; buffered, and seen part by part; or dropped, as every other number.
const BUFFER: u32 = 1;
const WATERMARK: u32 = 2;

/// Where the guest holds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hold {
    /// It does not.
    #[default]
    Flowing,
    /// At the headers: nothing behind them is shown to the guest until it
    /// continues.
    Headers,
    /// At the body: later parts are shown as they arrive.
    Body,
    /// At the trailers.
    Trailers,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// Once they arrived; what the guest changes.
    pub(crate) headers: Option<HeaderMap>,
    /// Once they arrived; what the guest changes.
    pub(crate) trailers: Option<HeaderMap>,
    /// True while the guest can reach the headers, or the trailers.
    pub(crate) headers_open: bool,
    pub(crate) trailers_open: bool,
    pub(crate) hold: Hold,
    /// The sender has nothing more to send.
    pub(crate) ended: bool,
    /// What went on, once something did.
    pub(crate) passed: Option<Message>,
    /// The part of the body that is before the guest.
    part: Option<Vec<u8>>,
    /// Parts that it held before.
    held: Vec<u8>,
    /// True when it sees them as one with what comes.
    whole: bool,
    /// What arrived behind headers that are held.
    behind: Behind,
}

#[derive(Debug, Default)]
struct Behind {
    body: Option<Vec<u8>>,
    trailers: Option<HeaderMap>,
}

/// What a guest is to be shown after it continued.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Half {
    /// Headers arrived; the guest is shown them next.
    pub(crate) fn take_headers(&mut self, headers: HeaderMap, end: bool) {
        self.headers = Some(headers);
        self.headers_open = true;
        self.ended = end;
    }

    /// Applies the guest's answer to the headers. Any hold at the headers holds
    /// all that follows, as Envoy reads the ABI since 0.2.
    pub(crate) fn after_headers(&mut self, answer: u32) {
        if answer == CONTINUE {
            self.headers_open = false;
            self.pass_headers();
        } else {
            self.hold = Hold::Headers;
        }
    }

    /// A part of the body arrived. Returns how many bytes the guest is shown, or
    /// `None` when it is shown nothing now.
    pub(crate) fn take_part(&mut self, part: Vec<u8>, end: bool) -> Option<usize> {
        self.ended |= end;
        if self.hold == Hold::Headers {
            self.behind.body.get_or_insert_default().extend(part);
            return None;
        }
        if self.whole {
            self.held.extend(part);
            self.part = None;
        } else {
            self.part = Some(part);
        }
        self.body().map(Vec::len)
    }

    /// Applies the guest's answer to a part.
    pub(crate) fn after_part(&mut self, answer: u32) {
        let part = self.part.take().unwrap_or_default();
        self.whole = answer == BUFFER;
        match answer {
            CONTINUE => {
                self.held.extend(part);
                self.hold = Hold::Flowing;
                self.pass_body();
            }
            BUFFER | WATERMARK => {
                self.held.extend(part);
                self.hold = Hold::Body;
            }
            _ => self.hold = Hold::Body,
        }
    }

    /// Trailers arrived. True when the guest is shown them now.
    pub(crate) fn take_trailers(&mut self, trailers: HeaderMap) -> bool {
        self.ended = true;
        if self.hold == Hold::Headers {
            self.behind.trailers = Some(trailers);
            return false;
        }
        self.trailers = Some(trailers);
        self.trailers_open = true;
        true
    }

    /// Applies the guest's answer to the trailers.
    pub(crate) fn after_trailers(&mut self, answer: u32) {
        if answer == CONTINUE {
            self.trailers_open = false;
            self.hold = Hold::Flowing;
            self.whole = false;
            self.pass_body();
        } else {
            self.hold = Hold::Trailers;
        }
    }

    /// The guest continues. What it held goes on; what came behind the headers is
    /// to be shown to it next.
    pub(crate) fn resume(&mut self) -> Backlog {
        let held = std::mem::take(&mut self.hold);
        self.whole = false;
        match held {
            Hold::Flowing => Backlog::default(),
            Hold::Headers => {
                let behind = std::mem::take(&mut self.behind);
                self.pass_headers();
                let complete = self.ended && behind.body.is_none() && behind.trailers.is_none();
                if let Some(passed) = &mut self.passed {
                    passed.complete = complete;
                }
                Backlog { body: behind.body, trailers: behind.trailers }
            }
            Hold::Body | Hold::Trailers => {
                self.pass_body();
                Backlog::default()
            }
        }
    }

    /// Nobody wants the rest.
    pub(crate) fn abandon(&mut self) {
        self.hold = Hold::Flowing;
        self.behind = Behind::default();
        self.held.clear();
        self.whole = false;
        self.ended = true;
    }

    /// Something else goes on in place of what was held.
    pub(crate) fn replace(&mut self, message: Message) {
        self.abandon();
        self.headers = Some(message.headers.clone());
        self.passed = Some(message);
    }

    /// The body as the guest sees it now.
    pub(crate) fn body(&self) -> Option<&Vec<u8>> {
        if self.whole { Some(&self.held) } else { self.part.as_ref() }
    }

    /// The same, to be changed.
    pub(crate) fn body_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.whole { Some(&mut self.held) } else { self.part.as_mut() }
    }

    /// How much of the body is held for a guest that wants to see it whole.
    pub(crate) fn buffered(&self) -> usize {
        if self.whole { self.held.len() } else { 0 }
    }

    /// True when headers have gone on.
    pub(crate) fn started(&self) -> bool {
        self.passed.is_some()
    }

    /// True when everything has gone on.
    pub(crate) fn complete(&self) -> bool {
        self.passed.as_ref().is_some_and(|passed| passed.complete)
    }

    fn pass_headers(&mut self) {
        let headers = self.headers.clone().unwrap_or_default();
        self.passed = Some(Message { headers, complete: self.ended, ..Message::default() });
    }

    fn pass_body(&mut self) {
        let held = std::mem::take(&mut self.held);
        if let Some(passed) = &mut self.passed {
            passed.body.extend(held);
            passed.trailers.clone_from(&self.trailers);
            passed.complete = self.ended;
        }
    }
}
