package vault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
)

// An upload holds up to partsInFlight+2 parts in memory.
const (
	partSize      = 8 << 20
	partsInFlight = 2
	maxParts      = 10_000 // of the protocol
)

// s3Store is what the portable interface does not offer: taking back unfinished multipart uploads.
type s3Store struct {
	client *s3.Client
	bucket string
	prefix string // of all keys
}

// openS3 opens the bucket of an s3:// URL and returns it with its client.
func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, *s3Store, error) {
	parameters := u.Query()
	prefix := parameters.Get("prefix")
	parameters.Del("prefix") // the driver does not know it; blob.OpenBucket would take it, and hide the client
	if endpoint, err := url.Parse(parameters.Get("endpoint")); err != nil || endpoint.User != nil {
		return nil, nil, errors.New("vault: bucket URL: the endpoint must be a URL without credentials")
	}
	driverURL := *u
	driverURL.RawQuery = parameters.Encode()
	plain, err := new(s3blob.URLOpener).OpenBucketURL(ctx, &driverURL)
	if err != nil {
		return nil, nil, fmt.Errorf("vault: bucket URL: %s", withoutValues(err.Error(), parameters))
	}
	var client *s3.Client
	if !plain.As(&client) {
		return nil, nil, errors.Join(errors.New("vault: the S3 driver does not show its client"), plain.Close())
	}
	// The same client, but it neither writes to stderr past our log nor hides that it found no credentials.
	configured := client.Options()
	client = s3.New(configured, func(o *s3.Options) {
		o.Logger = logging.Nop{}
		o.DisableLogOutputChecksumValidationSkipped = true
		if configured.Credentials != nil {
			o.Credentials = namedCredentials{configured.Credentials}
		}
	})
	bucket, err := s3blob.OpenBucket(ctx, client, u.Host, &s3blob.Options{RequestChecksumCalculation: configured.RequestChecksumCalculation})
	if err = errors.Join(err, plain.Close()); err != nil {
		return nil, nil, fmt.Errorf("vault: %w", err)
	}
	if prefix != "" {
		bucket = blob.PrefixedBucket(bucket, prefix)
	}
	return bucket, &s3Store{client: client, bucket: u.Host, prefix: prefix}, nil
}

// withoutValues takes the values of parameters out of a message. Their names and the rest tell what is wrong.
func withoutValues(message string, parameters url.Values) string {
	for _, values := range parameters {
		for _, value := range values {
			if value != "" {
				message = strings.ReplaceAll(message, value, "…")
			}
		}
	}
	return message
}

// errNoCredentials means that none of the usual places has credentials.
var errNoCredentials = errors.New("no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")

// namedCredentials gives its errors a name: the SDK has none for them.
type namedCredentials struct{ aws.CredentialsProvider }

func (c namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errNoCredentials, err)
	}
	return credentials, err
}

// tune replaces the uploader of one object. The driver's own sends the request that takes back an unfinished upload
// under the caller's context: once that is cancelled nothing is taken back, and the parts stay (and cost) for ever.
// limit is the largest plaintext to expect, 0 for unknown.
func (s *s3Store) tune(limit int64) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var uploader *transfermanager.Client
		if !as(&uploader) {
			return errors.New("vault: the S3 driver does not show its uploader")
		}
		*uploader = *transfermanager.New(s.client, func(o *transfermanager.Options) {
			o.FailTimeout = cleanupTimeout
			o.PartSizeBytes = max(partSize, limit/(maxParts-2)+1)
			o.MultipartUploadThreshold = o.PartSizeBytes
			o.Concurrency = partsInFlight
			o.RequestChecksumCalculation = s.client.Options().RequestChecksumCalculation
		})
		return nil
	}
}

// sweep takes back the unfinished uploads of key that a killed process left.
func (s *s3Store) sweep(ctx context.Context, key string) error {
	key = s.prefix + key
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return classify(fmt.Errorf("vault: listing unfinished uploads: %w", err))
		}
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != key {
				continue
			}
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: u.Key, UploadId: u.UploadId})
			if err != nil && !isAPIError(err, "NoSuchUpload") {
				return classify(fmt.Errorf("vault: taking back an unfinished upload: %w", err))
			}
		}
	}
	return nil
}

func isAPIError(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

// classifyRemote finds out what an error of a remote store means for the caller, or returns nil.
func classifyRemote(err error) error {
	status := 0
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	switch {
	case isAPIError(err, "NoSuchBucket"):
		return ErrNoBucket
	case status == http.StatusInsufficientStorage,
		isAPIError(err, "QuotaExceeded", "XMinioStorageFull", "StorageFull", "InsufficientCapacity"):
		return ErrNoSpace
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		gcerrors.Code(err) == gcerrors.PermissionDenied, errors.Is(err, errNoCredentials),
		isAPIError(err, "InvalidAccessKeyId", "XAdminUserNotFound"):
		return ErrDenied
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return ErrUnavailable
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return ErrUnavailable
	}
	if _, ok := errors.AsType[*smithy.OperationError](err); ok && status == 0 && !errors.Is(err, context.Canceled) {
		return ErrUnavailable // no answer at all
	}
	return nil
}
