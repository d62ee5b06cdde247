//! Reads along what a client and PostgreSQL say, in protocol version 3: which statement is answered, and when its answer
//! is complete.

use std::collections::{HashMap, VecDeque};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// One connection's conversation.
#[derive(Default)]
pub(super) struct Reader {
    asked: Vec<u8>,
    answered: Vec<u8>,
    is_started: bool,
    /// Answers of one byte, to a request for encryption, that are still to come.
    bare_answers: usize,
    /// Prepared statements by name.
    prepared: HashMap<Vec<u8>, String>,
    /// What is asked until the next Sync.
    unit: String,
    /// Asked and not answered, up to a `ReadyForQuery` each; the first is the start of the session.
    units: VecDeque<String>,
    is_swallowing: bool,
}

impl Reader {
    /// The client said this.
    pub(super) fn asked(&mut self, bytes: &[u8]) {
        self.asked.extend_from_slice(bytes);
        loop {
            let header = usize::from(self.is_started);
            let Some(message) = take_message(&mut self.asked, header) else {
                return;
            };
            if self.is_started {
                self.hear(message[0], &message[5..]);
            } else {
                match u32::from_be_bytes(message[4..8].try_into().unwrap()) {
                    SSL_REQUEST | GSS_REQUEST => self.bare_answers += 1,
                    _ => {
                        self.is_started = true;
                        self.units.push_back(String::new());
                    }
                }
            }
        }
    }

    /// The server said this: what of it is to be passed on, and whether the connection is cut after it.
    pub(super) fn answered(
        &mut self,
        bytes: &[u8],
        is_deaf: bool,
        mut is_to_be_swallowed: impl FnMut(&str) -> bool,
    ) -> (Vec<u8>, bool) {
        let bare = self.bare_answers.min(bytes.len());
        self.bare_answers -= bare;
        let (bare, rest) = bytes.split_at(bare);
        let mut passed = bare.to_vec();
        self.answered.extend_from_slice(rest);
        while let Some(message) = take_message(&mut self.answered, 1) {
            let kind = message[0];
            if kind == b'C' && self.units.front().is_some_and(|asked| is_to_be_swallowed(asked)) {
                self.is_swallowing = true;
            }
            if kind == b'Z' {
                self.units.pop_front();
                if self.is_swallowing {
                    // Not before: a statement of its own is committed when the server is ready again.
                    return (passed, true);
                }
            }
            let is_eaten = is_deaf && kind == b'A';
            if !self.is_swallowing && !is_eaten {
                passed.extend_from_slice(&message);
            }
        }
        (passed, false)
    }

    fn hear(&mut self, kind: u8, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            b'Q' => self.units.push_back(String::from_utf8_lossy(text()).into_owned()),
            b'P' => {
                let name = text().to_vec();
                self.prepared.insert(name, String::from_utf8_lossy(text()).into_owned());
            }
            b'B' => {
                let _portal = text();
                if let Some(sql) = self.prepared.get(text()) {
                    self.unit.push_str(sql);
                }
            }
            b'S' => self.units.push_back(std::mem::take(&mut self.unit)),
            _ => {}
        }
    }
}

/// Takes the first whole message from the front; `header` bytes come before its length.
fn take_message(buffer: &mut Vec<u8>, header: usize) -> Option<Vec<u8>> {
    let length = buffer.get(header..header + 4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap() + header;
    (buffer.len() >= length).then(|| buffer.drain(..length).collect())
}
