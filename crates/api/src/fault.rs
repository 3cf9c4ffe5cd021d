//! What is wrong with an input, member by member, and the one answer made of it.

use std::borrow::Cow;
use std::fmt;

use crate::exception::{Exception, Reason};
use crate::schema::{Member, Protocol, Service};

/// More than these are counted, not listed.
const MAX_FAULTS: usize = 20;
/// Characters of a refused value that a message repeats.
const MAX_ECHO: usize = 64;

/// Where in the input a value stands; a list of borrowed steps that costs nothing until rendered.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Member(&'p Member),
    Index(usize),
    Key(&'p str),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn member(&'p self, member: &'p Member) -> Path<'p> {
        Path { parent: Some(self), step: Step::Member(member) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    /// `targets.1.member.id` as AWS writes it, or `Filter.1.Value.2` as an EC2 form names it.
    fn render(&self, protocol: Protocol) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(path.step);
            at = path.parent;
        }
        let mut text = String::new();
        for step in steps.into_iter().rev() {
            if !text.is_empty() {
                text.push('.');
            }
            match step {
                Step::Root => {}
                Step::Member(member) if protocol == Protocol::Ec2 => text.push_str(&member.form),
                Step::Member(member) => text.push_str(&member.name),
                Step::Index(index) if protocol == Protocol::Ec2 => text.push_str(&(index + 1).to_string()),
                Step::Index(index) => text.push_str(&format!("{}.member", index + 1)),
                Step::Key(key) => {
                    text.extend(key.chars().take(MAX_ECHO));
                    text.push_str(".member");
                }
            }
        }
        text
    }
}

/// One rule that one value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Missing,
    Type(&'static str),
    MinLength(i64),
    MaxLength(i64),
    MinValue(i64),
    MaxValue(i64),
    Pattern(String),
    Values(Vec<String>),
    Union { found: usize },
    UnknownMember,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "Member must not be null"),
            Self::Type(expected) => write!(f, "Member must be {expected}"),
            Self::MinLength(min) => write!(f, "Member must have length greater than or equal to {min}"),
            Self::MaxLength(max) => write!(f, "Member must have length less than or equal to {max}"),
            Self::MinValue(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Self::MaxValue(max) => write!(f, "Member must have value less than or equal to {max}"),
            Self::Pattern(text) => write!(f, "Member must satisfy regular expression pattern: {text}"),
            Self::Values(values) => {
                write!(f, "Member must satisfy enum value set: [{}]", values.join(", "))
            }
            Self::Union { found } => {
                write!(f, "Member must have exactly one of its members set, but {found} are")
            }
            Self::UnknownMember => write!(f, "Member is not described"),
        }
    }
}

/// A broken rule with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) rule: Rule,
    /// The refused value, cut; `None` where there is none worth repeating.
    pub(crate) value: Option<String>,
}

impl Fault {
    fn sentence(&self) -> String {
        match (&self.rule, &self.value) {
            (Rule::Missing, _) => {
                format!("Value null at '{}' failed to satisfy constraint: {}", self.path, self.rule)
            }
            (rule, Some(value)) => {
                format!("Value '{value}' at '{}' failed to satisfy constraint: {rule}", self.path)
            }
            (rule, None) => format!("Value at '{}' failed to satisfy constraint: {rule}", self.path),
        }
    }
}

/// Collects faults; bounded.
#[derive(Debug)]
pub(crate) struct Faults {
    protocol: Protocol,
    list: Vec<Fault>,
    total: usize,
}

impl Faults {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self { protocol, list: Vec::new(), total: 0 }
    }

    pub(crate) fn push(&mut self, path: &Path<'_>, rule: Rule, value: Option<&str>) {
        self.total += 1;
        if self.list.len() < MAX_FAULTS {
            let value = value.map(|value| value.chars().take(MAX_ECHO).collect());
            self.list.push(Fault { path: path.render(self.protocol), rule, value });
        }
    }

    pub(crate) fn into_list(self) -> Vec<Fault> {
        self.list
    }

    /// The answer to a request with these faults, in the words of the service's family.
    pub(crate) fn into_result(self, service: &Service) -> Result<(), Exception> {
        let Some(first) = self.list.first() else { return Ok(()) };
        if self.protocol == Protocol::Ec2 {
            return Err(ec2_exception(first));
        }
        let plural = if self.total == 1 { "" } else { "s" };
        let sentences: Vec<String> = self.list.iter().map(Fault::sentence).collect();
        let message = format!("{} validation error{plural} detected: {}", self.total, sentences.join("; "));
        Err(match self.protocol {
            Protocol::Query => Exception::plain("ValidationError", 400, message),
            Protocol::Json10 | Protocol::Json11 => {
                let mistyped = self.list.iter().any(|fault| matches!(fault.rule, Rule::Type(_)));
                if mistyped { unreadable(service, self.protocol, message) } else { invalid(service, message) }
            }
            Protocol::RestXml | Protocol::S3 => invalid(service, message),
            Protocol::RestJson if service.invalid_input.is_some() => invalid(service, message),
            Protocol::RestJson | Protocol::Ec2 => {
                let mistyped = self.list.iter().any(|fault| matches!(fault.rule, Rule::Type(_)));
                let reason = if mistyped { Reason::CannotParse } else { Reason::FieldValidationFailed };
                let fields =
                    self.list.into_iter().map(|fault| (fault.path, fault.rule.to_string())).collect();
                Exception::validation(reason, message, fields)
            }
        })
    }
}

/// EC2 reports one fault at a time.
fn ec2_exception(fault: &Fault) -> Exception {
    let Fault { path, rule, value } = fault;
    let value = value.as_deref().unwrap_or_default();
    match rule {
        Rule::Missing => {
            Exception::ec2("MissingParameter", 400, format!("The request must contain the parameter {path}"))
        }
        rule => Exception::ec2(
            "InvalidParameterValue",
            400,
            format!("Value ({value}) for parameter {path} is invalid. {rule}"),
        ),
    }
}

/// The request breaks the description in a way that has no field.
pub(crate) fn invalid(service: &Service, message: impl Into<String>) -> Exception {
    match (&service.invalid_input, service.protocol) {
        (Some(code), _) => Exception::plain(code.clone(), 400, message),
        (None, Protocol::RestJson) => Exception::validation(Reason::Other, message, Vec::new()),
        (None, Protocol::Json10 | Protocol::Json11) => Exception::plain("ValidationException", 400, message),
        (None, Protocol::Query) => Exception::plain("ValidationError", 400, message),
        (None, Protocol::Ec2) => Exception::ec2("InvalidParameterValue", 400, message),
        (None, Protocol::RestXml) => Exception::plain("InvalidInput", 400, message),
        (None, Protocol::S3) => Exception::plain("InvalidRequest", 400, message),
    }
}

/// The body is not what the protocol puts there.
pub(crate) fn unreadable(service: &Service, protocol: Protocol, message: impl Into<String>) -> Exception {
    match protocol {
        Protocol::RestJson if service.invalid_input.is_some() => invalid(service, message),
        Protocol::RestJson => Exception::validation(Reason::CannotParse, message, Vec::new()),
        Protocol::Json10 | Protocol::Json11 => Exception::plain("SerializationException", 400, message),
        Protocol::Query => Exception::plain("MalformedQueryString", 400, message),
        Protocol::Ec2 => invalid(service, message),
        Protocol::RestXml => Exception::plain("MalformedInput", 400, message),
        Protocol::S3 => Exception::plain("MalformedXML", 400, message),
    }
}

/// Whether a body is of a size that `service` reads; asked before anything else is done with it.
///
/// # Errors
/// The family's word for a body that is too large.
pub fn check_size(service: &Service, body: &[u8]) -> Result<(), Exception> {
    if body.len() <= service.max_body {
        return Ok(());
    }
    let (code, status) = match service.protocol {
        Protocol::RestJson | Protocol::Json10 | Protocol::Json11 => ("RequestEntityTooLargeException", 413),
        Protocol::Query | Protocol::Ec2 | Protocol::RestXml => ("RequestEntityTooLarge", 413),
        Protocol::S3 => ("EntityTooLarge", 400),
    };
    let message = format!("A request of {} has at most {} bytes.", service.id, service.max_body);
    Err(Exception::plain(code, status, message))
}

/// [`Exception::internal`] is everybody's; the answer has the service's own word for it.
pub(crate) fn in_words_of<'e>(
    service: Option<&Service>,
    protocol: Protocol,
    exception: &'e Exception,
) -> Cow<'e, Exception> {
    if exception.code != Exception::INTERNAL {
        return Cow::Borrowed(exception);
    }
    let modelled = service.and_then(Service::internal_error).map(|error| error.code.clone());
    let code = match (modelled, protocol) {
        (Some(code), _) => code.into(),
        (None, Protocol::Ec2 | Protocol::S3) => "InternalError".into(),
        (None, _) => return Cow::Borrowed(exception),
    };
    Cow::Owned(Exception { code, ..exception.clone() })
}
