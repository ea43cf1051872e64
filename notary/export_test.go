package notary

import "context"

// RecoverUploads is what keepRecovering does each minute.
func (s *Service) RecoverUploads(ctx context.Context) error { return s.recoverUploads(ctx) }
