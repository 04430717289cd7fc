package api

import "context"

// GetExplanation returns why a document has its topics.
func (s *server) GetExplanation(
	ctx context.Context, r GetExplanationRequestObject,
) (GetExplanationResponseObject, error) {
	explanation, err := s.userDB(ctx).Explanation(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	response := GetExplanation200JSONResponse{Topics: make([]TopicEvidence, len(explanation.Topics))}
	for i, t := range explanation.Topics {
		response.Topics[i] = TopicEvidence{ID: t.ID, Words: t.Words, Examples: t.Examples}
	}
	return response, nil
}
