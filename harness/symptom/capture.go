package symptom

import (
	"context"
	"errors"
	"io"
)

func (r *reader) capture(ctx context.Context, in io.Reader) error {
	return errors.New("captures are not read yet")
}
