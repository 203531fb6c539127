//! Server-sent events (WHATWG HTML, section 9.2.6), read line by line.

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    /// The last id that was said, of this event or one before it.
    pub(super) id: Option<String>,
    /// Its type; `message` if it does not say one.
    pub(super) kind: String,
    /// Its data.
    pub(super) data: String,
}

/// What of an event has been read.
#[derive(Debug, Default)]
pub(super) struct Events {
    id: Option<String>,
    kind: String,
    data: Option<String>,
}

/// Longest event, in bytes: a record is much shorter.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// An event is too long.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {MAX_EVENT_BYTES} bytes")]
pub(super) struct TooLong;

impl Events {
    /// Takes a line, and returns the event that it ends.
    pub(super) fn line(&mut self, line: &str) -> Result<Option<Event>, TooLong> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            let Some(data) = self.data.take() else { return Ok(None) };
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            return Ok(Some(Event { id: self.id.clone(), kind, data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() < MAX_EVENT_BYTES => {
                    data.push('\n');
                    data.push_str(value);
                }
                Some(_) => return Err(TooLong),
            },
            // A comment, with which a server shows that it is there; or something newer.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Event> {
        let mut events = Events::default();
        text.lines().filter_map(|line| events.line(line).unwrap()).collect()
    }

    fn event(id: Option<&str>, kind: &str, data: &str) -> Event {
        Event { id: id.map(str::to_owned), kind: kind.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = ": hello\n\nid: 7\nevent: record\ndata: {\"a\":1}\n\ndata:one\ndata\ndata:  two\n\nid\nretry: 5\n\nevent: x\n\ndata: last\r\n\r\ndata: half";
        assert_eq!(
            read(text),
            [
                event(Some("7"), "record", "{\"a\":1}"),
                event(Some("7"), "message", "one\n\n two"),
                event(Some(""), "message", "last"),
            ]
        );
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut events = Events::default();
        let line = format!("data: {}", "x".repeat(MAX_EVENT_BYTES / 2));
        assert_eq!(events.line(&line), Ok(None));
        assert_eq!(events.line(&line), Err(TooLong));
    }
}
