// ExternalDNS for Route 53 alone: its flags, sources, registry, plan and provider as they are, without the providers of
// everybody else, which its own main package brings along and which do not build from Go's module proxy.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/labels"

	"sigs.k8s.io/external-dns/controller"
	"sigs.k8s.io/external-dns/endpoint"
	"sigs.k8s.io/external-dns/pkg/apis/externaldns"
	"sigs.k8s.io/external-dns/plan"
	"sigs.k8s.io/external-dns/provider"
	"sigs.k8s.io/external-dns/provider/aws"
	"sigs.k8s.io/external-dns/registry"
	"sigs.k8s.io/external-dns/source"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		logrus.Fatal(err)
	}
}

func run(ctx context.Context, words []string) error {
	flags := externaldns.NewConfig()
	if err := flags.ParseFlags(words); err != nil {
		return err
	}
	if flags.Provider != "aws" || flags.Registry != "txt" {
		return fmt.Errorf("expected --provider=aws --registry=txt, found %s and %s", flags.Provider, flags.Registry)
	}
	level, err := logrus.ParseLevel(flags.LogLevel)
	if err != nil {
		return err
	}
	logrus.SetLevel(level)
	policy, known := plan.Policies[flags.Policy]
	if !known {
		return fmt.Errorf("unknown policy %s", flags.Policy)
	}
	domains := endpoint.NewDomainFilterWithExclusions(flags.DomainFilter, flags.ExcludeDomains)
	wanted, err := sources(ctx, flags)
	if err != nil {
		return err
	}
	records, err := zones(flags, domains)
	if err != nil {
		return err
	}
	owned, err := registry.NewTXTRegistry(records, flags.TXTPrefix, flags.TXTSuffix, flags.TXTOwnerID,
		flags.TXTCacheInterval, flags.TXTWildcardReplacement, flags.ManagedDNSRecordTypes,
		flags.ExcludeDNSRecordTypes, flags.TXTEncryptEnabled, []byte(flags.TXTEncryptAESKey))
	if err != nil {
		return err
	}
	loop := controller.Controller{
		Source: wanted, Registry: owned, Policy: policy, Interval: flags.Interval, DomainFilter: domains,
		ManagedRecordTypes: flags.ManagedDNSRecordTypes, ExcludeRecordTypes: flags.ExcludeDNSRecordTypes,
		MinEventSyncInterval: flags.MinEventSyncInterval,
	}
	if flags.Once {
		return loop.RunOnce(ctx)
	}
	if flags.UpdateEvents {
		loop.Source.AddEventHandler(ctx, func() { loop.ScheduleRunOnce(time.Now()) })
	}
	loop.ScheduleRunOnce(time.Now())
	loop.Run(ctx)
	return nil
}

// What the cluster wants.
func sources(ctx context.Context, flags *externaldns.Config) (source.Source, error) {
	selector, err := labels.Parse(flags.LabelFilter)
	if err != nil {
		return nil, err
	}
	timeout := flags.RequestTimeout
	if flags.UpdateEvents {
		// A watch lasts.
		timeout = 0
	}
	clients := &source.SingletonClientGenerator{
		KubeConfig: flags.KubeConfig, APIServerURL: flags.APIServerURL, RequestTimeout: timeout,
	}
	named, err := source.ByNames(ctx, clients, flags.Sources, &source.Config{
		Namespace: flags.Namespace, AnnotationFilter: flags.AnnotationFilter, LabelFilter: selector,
		FQDNTemplate: flags.FQDNTemplate, CombineFQDNAndAnnotation: flags.CombineFQDNAndAnnotation,
		PublishInternal: flags.PublishInternal, PublishHostIP: flags.PublishHostIP,
		AlwaysPublishNotReadyAddresses: flags.AlwaysPublishNotReadyAddresses,
		CRDSourceAPIVersion:            flags.CRDSourceAPIVersion, CRDSourceKind: flags.CRDSourceKind,
		KubeConfig: flags.KubeConfig, APIServerURL: flags.APIServerURL, ServiceTypeFilter: flags.ServiceTypeFilter,
		RequestTimeout: flags.RequestTimeout, DefaultTargets: flags.DefaultTargets, UpdateEvents: flags.UpdateEvents,
	})
	if err != nil {
		return nil, err
	}
	return source.NewDedupSource(source.NewMultiSource(named, flags.DefaultTargets)), nil
}

// What Route 53 has. The environment says where that is and who asks.
func zones(flags *externaldns.Config, domains endpoint.DomainFilter) (provider.Provider, error) {
	clients := map[string]aws.Route53API{}
	for profile, config := range aws.CreateV2Configs(flags) {
		clients[profile] = route53.NewFromConfig(config)
	}
	return aws.NewAWSProvider(aws.AWSConfig{
		DomainFilter: domains, ZoneIDFilter: provider.NewZoneIDFilter(flags.ZoneIDFilter),
		ZoneTypeFilter: provider.NewZoneTypeFilter(flags.AWSZoneType),
		ZoneTagFilter:  provider.NewZoneTagFilter(flags.AWSZoneTagFilter), ZoneMatchParent: flags.AWSZoneMatchParent,
		BatchChangeSize: flags.AWSBatchChangeSize, BatchChangeSizeBytes: flags.AWSBatchChangeSizeBytes,
		BatchChangeSizeValues: flags.AWSBatchChangeSizeValues, BatchChangeInterval: flags.AWSBatchChangeInterval,
		EvaluateTargetHealth: flags.AWSEvaluateTargetHealth, PreferCNAME: flags.AWSPreferCNAME, DryRun: flags.DryRun,
		ZoneCacheDuration: flags.AWSZoneCacheDuration,
	}, clients)
}
