//! Which tagged resources GetResources is asked for.

use std::ops::RangeInclusive;

use trellis_frame::Refusal;
use trellis_frame::tags::Tags;
use trellis_model::Arn;

use crate::wire::{GetResourcesInput, TagFilter};

/// `ResourcesPerPage`.
const RESOURCES_PER_PAGE: RangeInclusive<i32> = 1..=100;

/// `TagsPerPage`: pages may be cut by their number of tags instead.
const TAGS_PER_PAGE: RangeInclusive<i32> = 100..=500;

/// The filters of an input that does not contradict itself.
pub(crate) struct Filter<'a> {
    arns: &'a [String],
    types: &'a [String],
    tags: &'a [TagFilter],
    /// There are no tag policies, so every resource complies.
    only_what_does_not_comply: bool,
}

impl<'a> Filter<'a> {
    /// # Errors
    /// [`Refusal::Invalid`] for what excludes each other and for sizes out of range.
    pub(crate) fn of(input: &'a GetResourcesInput) -> Result<Self, Refusal> {
        let GetResourcesInput {
            pagination_token: _,
            tag_filters,
            resources_per_page,
            tags_per_page,
            resource_type_filters,
            include_compliance_details,
            exclude_compliant_resources,
            resource_arn_list,
        } = input;
        let arns = resource_arn_list.as_deref().unwrap_or_default();
        let types = resource_type_filters.as_deref().unwrap_or_default();
        let tags = tag_filters.as_deref().unwrap_or_default();
        let others =
            !tags.is_empty() || !types.is_empty() || resources_per_page.is_some() || tags_per_page.is_some();
        let refuse = |message: String| Err(Refusal::unacceptable(message));
        if !arns.is_empty() && others {
            return refuse("ResourceARNList excludes every other filter and page size".into());
        }
        if resources_per_page.is_some_and(|size| !RESOURCES_PER_PAGE.contains(&size)) {
            return refuse(format!("ResourcesPerPage is from 1 to {}", RESOURCES_PER_PAGE.end()));
        }
        if tags_per_page.is_some_and(|size| !TAGS_PER_PAGE.contains(&size) || size % 100 != 0) {
            return refuse("TagsPerPage is from 100 to 500 in steps of 100".into());
        }
        if resources_per_page.is_some() && tags_per_page.is_some() {
            return refuse("ResourcesPerPage and TagsPerPage exclude each other".into());
        }
        if tags.iter().any(|filter| filter.key.is_none()) {
            return refuse("a tag filter has a Key".into());
        }
        let only_what_does_not_comply = *exclude_compliant_resources == Some(true);
        if only_what_does_not_comply && *include_compliance_details != Some(true) {
            return refuse("ExcludeCompliantResources needs IncludeComplianceDetails".into());
        }
        Ok(Self { arns, types, tags, only_what_does_not_comply })
    }

    pub(crate) fn passes(&self, arn: &str, tags: &Tags) -> bool {
        !self.only_what_does_not_comply
            && !tags.is_empty()
            && (self.arns.is_empty() || self.arns.iter().any(|wanted| wanted == arn))
            && is_of_type(arn, self.types)
            && self.tags.iter().all(|filter| has_tag(filter, tags))
    }
}

/// "If you don't specify a value, the response includes all resources that are tagged with that
/// key, with any or no value."
fn has_tag(filter: &TagFilter, tags: &Tags) -> bool {
    let Some(key) = &filter.key else { return true };
    let values = filter.values.as_deref().unwrap_or_default();
    tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value))
}

/// `service` or `service:type`, e.g. `vpc-lattice:targetgroup`, `ec2:vpc`.
fn is_of_type(arn: &str, filters: &[String]) -> bool {
    if filters.is_empty() {
        return true;
    }
    let Ok(arn) = arn.parse::<Arn>() else { return false };
    // The type of `service/svc-1/listener/listener-1` is the word before the last id.
    let mut parts = arn.resource.rsplit('/');
    let kind = parts.nth(1).unwrap_or_default();
    filters.iter().any(|filter| match filter.split_once(':') {
        Some((service, wanted)) => arn.service == service && kind == wanted,
        None => arn.service == *filter,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_filter_names_a_service_or_one_kind_of_its_resources() {
        let arn =
            |service: &str, resource: &str| format!("arn:aws:{service}:us-east-1:111122223333:{resource}");
        for (arn, filter, expected) in [
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice", true),
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice:targetgroup", true),
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice:service", false),
            (arn("vpc-lattice", "service/svc-1"), "vpc-lattice:service", true),
            (arn("vpc-lattice", "service/svc-1/listener/listener-1"), "vpc-lattice:service", false),
            (arn("vpc-lattice", "service/svc-1/listener/listener-1"), "vpc-lattice:listener", true),
            (arn("ec2", "vpc/vpc-1"), "ec2:vpc", true),
            (arn("ec2", "vpc/vpc-1"), "vpc-lattice", false),
            (arn("ec2", "security-group/sg-1"), "ec2:security-group", true),
        ] {
            assert_eq!(is_of_type(&arn, &[filter.to_owned()]), expected, "{arn} {filter}");
        }
        assert!(is_of_type(&arn("ec2", "vpc/vpc-1"), &[]));
    }

    #[test]
    fn tag_filters_ask_for_a_key_with_any_or_with_one_of_some_values() {
        let tags: Tags =
            [("stage".to_owned(), "prod".to_owned()), ("empty".to_owned(), String::new())].into();
        let filter = |key: &str, values: &[&str]| TagFilter {
            key: Some(key.into()),
            values: Some(values.iter().map(|&value| value.into()).collect()),
        };
        assert!(has_tag(&filter("stage", &[]), &tags) && has_tag(&filter("empty", &[]), &tags));
        assert!(has_tag(&filter("stage", &["dev", "prod"]), &tags));
        assert!(!has_tag(&filter("stage", &["dev"]), &tags) && !has_tag(&filter("other", &[]), &tags));
    }
}
