//! Aliases in a resolver's reply that lead to names of ours.
//!
//! A user's zone says `app.corp.test CNAME` a generated name, and what the user's resolver says of that name is
//! worthless: it does not exist there, or not as it does in this VPC. So the chain is kept up to the first name of ours
//! and our answer put behind it. A resolver may also stop half-way, because it serves its own zones alone or could not
//! follow; it is then asked for what comes next.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Aliases in a row before it counts as a loop: as many as BIND and Unbound follow, or more.
const MAX_ALIASES: usize = 16;

/// The aliases from the name of a question on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    aliases: Vec<Record>,
    end: Name,
}

/// A chain that comes back to itself, or does not end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loop;

impl Chain {
    pub(crate) fn new(start: Name) -> Self {
        Self { aliases: Vec::new(), end: start }
    }

    /// The name the aliases lead to.
    pub(crate) fn end(&self) -> &Name {
        &self.end
    }

    pub(crate) fn aliases(&self) -> &[Record] {
        &self.aliases
    }

    /// Follows the aliases of a reply to its end, or to the first name that `is_ours`; whether there were any.
    pub(crate) fn extend(&mut self, reply: &Message, is_ours: impl Fn(&Name) -> bool) -> Result<bool, Loop> {
        let known = self.aliases.len();
        while !is_ours(&self.end) {
            let Some((record, target)) = self.next_in(reply) else { break };
            let (record, target) = (record.clone(), target.clone());
            self.push(record, target)?;
        }
        Ok(self.aliases.len() > known)
    }

    /// Goes on from the end: `record` is its alias and leads to `target`.
    pub(crate) fn push(&mut self, record: Record, target: Name) -> Result<(), Loop> {
        let is_known = self.aliases.iter().any(|alias| alias.name == target);
        if is_known || target == self.end || self.aliases.len() == MAX_ALIASES {
            return Err(Loop);
        }
        self.aliases.push(record);
        self.end = target;
        Ok(())
    }

    /// Whether a reply has an alias at the end.
    pub(crate) fn continues_in(&self, reply: &Message) -> bool {
        self.next_in(reply).is_some()
    }

    fn next_in<'a>(&self, reply: &'a Message) -> Option<(&'a Record, &'a Name)> {
        reply.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == self.end => Some((record, &target.0)),
            _ => None,
        })
    }

    /// What is to be asked next after a reply to a question of a type; `None`: it says all there is to say.
    pub(crate) fn next_question(&self, reply: &Message, kind: RecordType, has_grown: bool) -> Option<Query> {
        if reply.truncation {
            return None;
        }
        let ask = |kind| Some(Query::query(self.end.clone(), kind));
        match reply.response_code {
            // It has the alias and no word about its target: neither records nor, RFC 2308, that there are none.
            ResponseCode::NoError if has_grown => {
                let is_answered = reply.answers.iter().any(|record| record.name == self.end);
                let is_empty = reply.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
                if is_answered || is_empty { None } else { ask(kind) }
            }
            // It could not follow, and need not: the alias itself is enough.
            ResponseCode::ServFail if !has_grown => ask(RecordType::CNAME),
            ResponseCode::ServFail => ask(kind),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::rdata::CNAME;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn reply(aliases: &[(&str, &str)]) -> Message {
        let mut reply = Message::new(1, MessageType::Response, OpCode::Query);
        for (from, to) in aliases {
            reply.add_answer(Record::from_rdata(name(from), 9, RData::CNAME(CNAME(name(to)))));
        }
        reply
    }

    #[test]
    fn a_chain_is_followed_in_any_order_and_case_to_the_first_name_of_ours() {
        let mut chain = Chain::new(name("A.test."));
        let said = reply(&[("b.test.", "Ours.test."), ("a.test.", "B.test."), ("ours.test.", "evil.test.")]);
        assert_eq!(chain.extend(&said, |end| *end == name("ours.test.")), Ok(true));
        assert_eq!(chain.end().to_ascii(), "Ours.test.");
        assert_eq!(chain.aliases().len(), 2);
    }

    #[test]
    fn chains_that_come_back_or_do_not_end_are_loops() {
        for aliases in [&[("a.", "a.")][..], &[("a.", "b."), ("b.", "A.")], &[("a.", "b."), ("b.", "b.")]] {
            assert_eq!(Chain::new(name("a.")).extend(&reply(aliases), |_| false), Err(Loop), "{aliases:?}");
        }
        let names: Vec<String> = (0..40).map(|number| format!("n{number}.")).collect();
        let long: Vec<(&str, &str)> = names.windows(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        assert_eq!(Chain::new(name("n0.")).extend(&reply(&long), |_| false), Err(Loop));
    }
}
