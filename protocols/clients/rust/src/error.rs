use crate::v1::status::{Refused, Retry, Status};
use protobuf::{Message, ProtobufEnum};
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// What a node refused, or why it could not be asked.
#[derive(Clone, Debug)]
pub struct Error {
    /// unknown, taken, unreachable …; unlisted: newer than this library.
    pub status: String,
    /// never, later, elsewhere, reopen.
    pub retry: &'static str,
    pub text: String,
    /// With offset, range, gone, future: the nearest right one.
    pub offset: u64,
    /// With taken: who has it.
    pub node: String,
    /// Of what came and is wrong; 0: not known.
    pub(crate) request: u64,
}

impl Error {
    pub fn new(status: &str, text: impl Into<String>) -> Error {
        Error {
            status: status.into(),
            retry: match status {
                "unreachable" | "late" | "busy" => "later",
                "corrupt" => "elsewhere",
                _ => "never",
            },
            text: text.into(),
            offset: 0,
            node: String::new(),
            request: 0,
        }
    }

    pub(crate) fn wrong(status: &str, text: &str, request: u64) -> Error {
        Error {
            request,
            ..Error::new(status, text)
        }
    }

    pub(crate) fn refused(refused: &Refused) -> Error {
        Error {
            retry: match refused.retry {
                Retry::RETRY_NEVER_UNSPECIFIED => "never",
                Retry::RETRY_LATER => "later",
                Retry::RETRY_ELSEWHERE => "elsewhere",
                Retry::RETRY_REOPEN => "reopen",
            },
            offset: refused.offset,
            node: refused.node.clone(),
            ..Error::new(
                &word(refused.status, refused, 1),
                refused.text.clone(),
            )
        }
    }

    /// Whether the question ends with what came and is wrong.
    pub(crate) fn concerns(&self, request: u64) -> bool {
        self.request == 0 || self.request == request
    }

    pub(crate) fn is(&self, status: &str) -> bool {
        self.status == status
    }

    pub(crate) fn is_final(&self) -> bool {
        self.retry == "never"
    }
}

/// The word of the status that is field `number` of `message`; one that is not
/// known lies among what is not known there.
pub(crate) fn word(
    status: Status,
    message: &dyn Message,
    number: u32,
) -> String {
    if message.get_unknown_fields().get(number).is_some() {
        return "unlisted".into();
    }
    let name = status.descriptor().name();
    match status {
        Status::STATUS_OK_UNSPECIFIED => "ok".into(),
        _ => name["STATUS_".len()..].to_lowercase(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}: {}", self.status, self.text)
    }
}

impl std::error::Error for Error {}

impl std::convert::From<zmq::Error> for Error {
    fn from(why: zmq::Error) -> Error {
        Error::new("limit", why.to_string())
    }
}
