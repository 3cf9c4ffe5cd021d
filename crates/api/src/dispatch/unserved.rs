//! Which protocol the clients of services that are not served here speak, to be refused in.
//!
//! `X-Amz-Target` and forms tell by themselves; listed are services that do not show it, and those whose
//! calls may come without either.

use crate::schema::Protocol;

/// The `Version` of every EC2 form.
pub(super) const EC2_VERSION: &str = "2016-11-15";

/// The protocol of the service with this signing name, endpoint prefix or name of an SDK; `None` for one that shows it or
/// speaks REST-JSON.
pub(super) fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "route53" | "cloudfront" | "s3-control" | "s3control" => Some(Protocol::RestXml),
        "s3" | "s3express" | "s3-object-lambda" | "s3-outposts" => Some(Protocol::S3),
        "ec2" => Some(Protocol::Ec2),
        "iam"
        | "sts"
        | "elasticloadbalancing"
        | "autoscaling"
        | "cloudformation"
        | "rds"
        | "redshift"
        | "sns"
        | "elasticache"
        | "elasticbeanstalk"
        | "email"
        | "sdb"
        | "cloudsearch" => Some(Protocol::Query),
        _ => None,
    }
}

/// Whether a path is of an API of REST-XML: all of Route 53's, CloudFront's and S3 Control's begin with their version.
pub(super) fn is_rest_xml_path(path: &str) -> bool {
    ["/2013-04-01/", "/2020-05-31/", "/v20180820/"].iter().any(|version| path.starts_with(version))
}
