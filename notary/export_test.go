package notary

import "context"

// RecoverUploads is what upkeep does each minute.
func (s *Service) RecoverUploads(ctx context.Context) error { return s.recoverUploads(ctx) }
