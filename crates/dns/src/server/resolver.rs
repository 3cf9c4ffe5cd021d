//! What becomes of one question: answered from the plan and the zones, or asked of the machine's resolvers, where
//! aliases may lead back here.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::RecordType;
use tokio::sync::watch;
use trellis_model::VpcId;
use trellis_model::fabric::FabricPlan;
use trellis_model::snapshot::Snapshot;

use super::Limits;
use crate::alias::Chain;
use crate::answer::{self, Answer, View, answer, answer_public};
use crate::client;
use crate::metrics::Metrics;
use crate::upstream::{SERVFAIL, Transport, Upstream};
use crate::wire;

/// Replies of the machine's resolvers that one query may take, where each has but a part of a chain of aliases.
const MAX_ASKED: usize = 8;

/// Whose questions are answered.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    /// The hosts' of a VPC.
    Vpc(VpcId),
    /// Anybody's, about public zones.
    Public,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vpc(vpc) => vpc.fmt(f),
            Self::Public => f.write_str("public zones"),
        }
    }
}

/// What a task needs to answer one query.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) whose: Whose,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) plans: watch::Receiver<Arc<FabricPlan>>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Arc<Limits>,
    pub(super) idle_timeout: Duration,
}

impl Resolver {
    pub(super) fn answer(&self, query: &[u8]) -> Answer {
        let (snapshot, plan) = (self.snapshots.borrow().clone(), self.plans.borrow().clone());
        // What comes from a stranger is looked at here; a fault of ours in it costs the stranger an answer.
        let look_up = || match &self.whose {
            Whose::Vpc(vpc) => answer(View::of(vpc, &snapshot, &plan), query),
            Whose::Public => answer_public(&snapshot.names.public, query),
        };
        let answer = catch_unwind(AssertUnwindSafe(look_up));
        let answer = answer.unwrap_or_else(|_| {
            self.metrics.panics.add();
            wire::error_reply(query, SERVFAIL).map_or(Answer::Drop, Answer::Reply)
        });
        match answer {
            Answer::Reply(_) => self.metrics.answered.add(),
            Answer::Forward | Answer::Follow(_) => {}
            Answer::Drop => self.metrics.dropped.add(),
        }
        answer
    }

    /// Asks the machine's resolvers, within this VPC's share: for the name of the question, or where aliases of ours
    /// lead from it.
    pub(super) async fn forward(
        &self,
        query: &[u8],
        client: SocketAddr,
        transport: Transport,
        chain: Option<Chain>,
    ) -> Option<Vec<u8>> {
        let Ok(_share) = self.limits.in_flight.try_acquire() else {
            self.metrics.overloaded.add();
            return wire::error_reply(query, SERVFAIL);
        };
        let followed = match chain {
            Some(chain) => tokio::time::timeout(self.upstream.timeout(), self.lead(query, chain)).await,
            None => {
                let Some(reply) = self.upstream.ask_all(query, client, transport).await else {
                    return wire::error_reply(query, SERVFAIL);
                };
                // What it takes to follow aliases is no more than what one resolver may take.
                tokio::time::timeout(self.upstream.timeout(), self.follow(query, reply)).await
            }
        };
        followed.unwrap_or_else(|_| wire::error_reply(query, SERVFAIL))
    }

    /// The reply as it came, unless aliases in it lead to a name of ours, or nowhere.
    async fn follow(&self, query: &[u8], reply: Vec<u8>) -> Option<Vec<u8>> {
        let (Ok(asked), Ok(first)) = (Message::from_vec(query), Message::from_vec(&reply)) else {
            return Some(reply);
        };
        let [question] = asked.queries.as_slice() else { return Some(reply) };
        if question.query_type == RecordType::CNAME {
            return Some(reply);
        }
        let chain = Chain::new(question.name.clone());
        self.go_on(query, &asked, question, chain, first, Some(reply)).await
    }

    /// The reply where aliases of ours lead to a name of somebody else's.
    async fn lead(&self, query: &[u8], chain: Chain) -> Option<Vec<u8>> {
        let asked = Message::from_vec(query).ok()?;
        let [question] = asked.queries.as_slice() else { return None };
        let next = Query::query(chain.end().clone(), question.query_type);
        let Some(first) = self.ask(next).await else { return wire::error_reply(query, SERVFAIL) };
        self.go_on(query, &asked, question, chain, first, None).await
    }

    /// From reply to reply, to the end of the aliases. `whole` is the first reply, where it is the answer as it came
    /// unless there is more to say.
    async fn go_on(
        &self,
        query: &[u8],
        asked: &Message,
        question: &Query,
        mut chain: Chain,
        mut last: Message,
        mut whole: Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        for _ in 0..MAX_ASKED {
            let (snapshot, plan) = (self.snapshots.borrow().clone(), self.plans.borrow().clone());
            // Public zones are never looked up elsewhere.
            let Whose::Vpc(vpc) = &self.whose else { return wire::error_reply(query, SERVFAIL) };
            let view = View::of(vpc, &snapshot, &plan);
            let Ok(has_grown) = chain.extend(&last, |name| view.owns(name)) else {
                return wire::error_reply(query, SERVFAIL);
            };
            let known = chain.aliases().len();
            if let Some(reply) = answer::ours(view, asked, question, &mut chain) {
                self.metrics.aliased.add();
                return reply.to_vec().ok();
            }
            drop((snapshot, plan));
            // Aliases of ours lead on from where those of the reply ended: it says nothing of that.
            let next = if chain.aliases().len() > known {
                Some(Query::query(chain.end().clone(), question.query_type))
            } else {
                chain.next_question(&last, question.query_type, has_grown)
            };
            let Some(next) = next else { break };
            let wanted = next.query_type;
            let Some(said) = self.ask(next).await else { break };
            if wanted == RecordType::CNAME && !chain.continues_in(&said) {
                break;
            }
            last = said;
            whole = None;
        }
        if whole.is_some() {
            return whole;
        }
        let mut whole = answer::reply_to(asked, question, last.response_code);
        whole.add_answers(chain.aliases().iter().cloned());
        whole
            .add_answers(last.answers.into_iter().filter(|record| record.record_type() != RecordType::CNAME));
        whole.add_authorities(last.authorities);
        whole.to_vec().ok()
    }

    /// A question of our own.
    async fn ask(&self, question: Query) -> Option<Message> {
        let query = client::query(question).ok()?;
        let reply = self.upstream.ask_all(&query, client::NOBODY, Transport::Tcp).await?;
        Message::from_vec(&reply).ok()
    }
}
