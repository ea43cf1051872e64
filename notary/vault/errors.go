package vault

import (
	"errors"
	"fmt"
	"syscall"

	"gocloud.dev/gcerrors"
)

// classify adds the sentinel that says what an error of the store means, and keeps the cause.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = ErrNoSpace
	default:
		kind = classifyRemote(err)
	}
	if kind == nil {
		switch gcerrors.Code(err) {
		case gcerrors.NotFound:
			kind = ErrNotFound
		case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
			kind = ErrExists
		case gcerrors.PermissionDenied:
			kind = ErrDenied
		}
	}
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}
