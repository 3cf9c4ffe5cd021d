//! The language in which each AWS API is described, its tables, and the generator of typed code.
//!
//! A service is described once, in `NAME.idl`. [`parse`] makes the tables ([`schema`]) that codecs,
//! validation and authorisation walk at run time; [`generate`], called by the service's build script,
//! makes the Rust types that its operations take and give. `e2e/botocore/draft.py` drafts a description
//! from botocore's model and `e2e/botocore/check_model.py` compares it with that model.
//!
//! One thing a line, two spaces a level, `#` begins a whole-line comment. Declarations may stand in
//! any order; a name that resolves to nothing is an error.
//!
//! ```text
//! service vpc-lattice                 the signing name; below it one line each of
//!   id VPC Lattice                    SDK service id
//!   endpoint vpc-lattice              first label of public host names
//!   protocol rest-json                rest-json | json-1.0 | json-1.1 | query | ec2 | rest-xml | s3
//!   version 2022-11-30
//!   namespace https://...             of XML answers
//!   target Prefix_2017                before the dot in X-Amz-Target
//!   actions vpc-lattice               before the colon in policies, where that is not the signing name
//!   global us-east-1                  one service for all regions, signed for this one (iam, route53)
//!   invalid InvalidParameterException code for broken limits, where the protocol has none
//!   max-body 1048576                  bytes
//!
//! resource listener arn:{partition}:vpc-lattice:{region}:{account}:service/{service}/listener/{listener}
//! let id17 = [0-9a-z]{17}             used as {id17} in later lets and patterns
//! string ServiceId 21 /svc-{id17}/    length (n, n.., ..n or n..m), then a pattern for the whole text
//! string ServiceName 3..40 name !svc- the rule for names, and a prefix it must not have
//! enum AuthType NONE AWS_IAM          more values may follow on indented lines
//! integer Port 1..65535               32 bits; `long` has 64
//! float Weight 0..1                   32 bits; `double` has 64
//! blob Certificate 1..32768           bytes; base64 text in JSON, XML and forms
//! timestamp When iso8601              iso8601 | unix | http
//! list Targets 1..100 of Target       then: item=NAME (element on XML and form wires), flattened
//! map TagMap 0..200 of TagKey TagValue  then: key=NAME, value=NAME (element names), flattened
//! struct Target                       `union` is the same with exactly one member present
//!   id String required                then any of: required, secret (never printed), token (idempotency,
//!   port Port wire=p form=P           clients fill it), wire=NAME (JSON, XML), form=NAME (Query, EC2 input)
//! error ConflictException 409         a structure with a status; code=NAME where the code differs
//!   message String required
//!
//! op PutThing PUT /things/{id} 200
//!   unsigned                          callers need no credentials
//!   authorise on listener=serviceIdentifier,listenerIdentifier
//!   authorise vpc-lattice:TagResource on listener when tags
//!   in                                members, each also label, query, query=NAME, header=NAME,
//!     id ThingId required label       payload (the whole body) or stream (a payload without end in sight)
//!   out root=Thing                    root element of a REST-XML answer that is not `PutThingResponse`
//!     name String                     members, each also header=NAME, payload, stream or status
//!   errors ConflictException
//!   pages in=nextToken out=nextToken limit=maxResults items=items more=IsTruncated
//! ```
//!
//! `String`, `Integer`, `Long`, `Float`, `Double`, `Boolean`, `Timestamp` and `Blob` exist without
//! limits. EC2 names follow EC2's habit: the wire name is the member's with a small first letter, the
//! form name the wire name with a capital, unless `wire=` or `form=` says otherwise. Timestamps are
//! seconds in JSON, ISO 8601 in XML and forms and HTTP dates in headers unless their type says otherwise.
//!
//! An `authorise` line is one action the caller must be allowed to do, as AWS's service authorization
//! reference has it. The action is `PREFIX:OPERATION` unless named; `on` gives the types of resource it
//! acts on, each with the members (or paths, `Targets.Id`) that fill the holes of that type's ARN, in
//! order; a hole without a member is `*`, which is how creating is written. An operation without such a
//! line is its own action on `*`: right for `List` and `Describe`, wrong where a resource is acted on.
//! `resource anything {arn}` is for members that hold an ARN of any type. A line that ends in `when MEMBER` counts
//! where the input has that member.
//!
//! `pages` names the members that carry a page; a place of several parts has them separated by commas.

mod generate;
mod parse;
pub mod schema;

pub use generate::generate;
pub use parse::{Mistake, parse};
