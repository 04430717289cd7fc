package postgres_test

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// methodsWithoutStatements are the exported methods of DB that read no tables, and the owner's
// method that locks a whole table once, when it is empty.
var methodsWithoutStatements = map[string]bool{
	"Close": true, "ForUser": true, "Ping": true, "ListenDeletions": true, "EstimatedNow": true,
	"From": true, "PurgeExpired": true, // its parts have cases
}

// notStatements are the files of the package whose statements run only while it migrates or
// provisions a database.
var notStatements = map[string]bool{
	"migrate.go": true, "roles.go": true, "pooling.go": true, // which reads only pg_stat_activity
}

// unreachableStatements are statements that no case can execute, with the reasons.
var unreachableStatements = map[string]string{
	"WHERE user_id = $1 AND case_fold(name) = case_fold($2)": "only if a concurrent call creates " +
		"the topic; it looks one row up by topics_name_in_namespace",
	"UPDATE leases SET expires_at = now() + make_interval(secs => $2) WHERE token = $1": "only " +
		"seconds after a lease was acquired; it looks one row up by leases_token_key",
	"SELECT pg_backend_pid()":  "only when a connection is opened; it reads no table",
	"SELECT clock_timestamp()": "only when a connection is opened; it reads no table",
}

const (
	// scanAllowance is for a page of a listing, which scans up to 5,000 entries of an index, and for a
	// page of 1,000 documents with the keys of the single-user schema.
	scanAllowance = 900
	// lookupAllowance is for a page of a listing that reads up to 5,000 documents, each of which may
	// be on a page of the table of its own.
	lookupAllowance = 5500
	// countAllowance is for counts of up to 10,000 documents of each status and topic.
	countAllowance = 3000
	// rangeAllowance is for statements that read up to 5,000 documents, a tenth of them old versions.
	rangeAllowance = 1500
	// auditAllowance is for a page of the audit trail, which reads up to 1,000 entries of each of
	// three indexes and the events, each of which may be on a page of the table of its own.
	auditAllowance = 6500
	// catalogAllowance is for the first event of the audit trail of a session, which reads the
	// descriptions of the table and its indexes. Which session is the first is a matter of chance.
	catalogAllowance = 500
	// batchAllowance is for statements that look up 100 keys in an index, where a small table is
	// scanned.
	batchAllowance = 500
)

// batches are the numbers of keys of a call. Statements differ for few and for many keys (see
// anyOf).
var batches = []int{1, 100}

func eachBatch(run func(n int) (int, error)) (total int, err error) {
	for _, n := range batches {
		got, err := run(n)
		if err != nil {
			return 0, err
		}
		total += got
	}
	return total, nil
}

// testClient is the address of a client.
var testClient = netip.MustParseAddr("192.0.2.1")

var statementCases = slices.Concat(userCases, sweepCases, operatorCases)

// userCases are the cases of the API, and of documents by their keys.
var userCases = []statementCase{
	// users and accounts
	{methods: "AccountByEmail", run: func(s *statementRun) (int, error) {
		return one(s.auth.AccountByEmail(s.ctx, "USER9@example.org"))
	}},
	{methods: "Me", run: func(s *statementRun) (int, error) { return one(s.user1().Me(s.ctx)) }},
	{methods: "AdminUsers", run: func(s *statementRun) (int, error) {
		admin := s.api.ForUser(s.admin)
		first, err := length(admin.AdminUsers(s.ctx, uuid.Nil, 100))
		later, err2 := length(admin.AdminUsers(s.ctx, s.id(userKind, int64(s.n)/2), 100))
		return first + later, errors.Join(err, err2)
	}},
	{methods: "AdminUser", run: func(s *statementRun) (int, error) {
		return one(s.api.ForUser(s.admin).AdminUser(s.ctx, s.alice))
	}},
	{methods: "ChangeUser", allowance: catalogAllowance, run: func(s *statementRun) (int, error) {
		limit := int64(1e15) + s.next()
		name := "p" + strconv.FormatInt(limit, 10)
		return one(s.api.ForUser(s.admin).From(testClient).ChangeUser(s.ctx, s.alice,
			postgres.UserPatch{LimitBytes: &limit, AIProvider: &name}))
	}},
	{methods: "AddUser RemoveUser", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			id := newID(s)
			err := s.owner.AddUser(s.ctx, postgres.NewUser{ID: id, Email: id.String()})
			_, _, err2 := s.owner.RemoveUser(s.ctx, id, 1)
			return first(err, err2)
		}},
	{methods: "Users", walks: true, run: func(s *statementRun) (int, error) {
		_, err := s.owner.Users(s.ctx)
		return 0, err
	}},
	{methods: "FindUser", run: func(s *statementRun) (int, error) {
		_, err := s.owner.FindUser(s.ctx, "USER9@example.org")
		_, err2 := s.owner.FindUser(s.ctx, s.alice.String())
		return first(err, err2)
	}},
	{methods: "ChangeAccount", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			role, hash := schema.RoleUser, "new"
			return one(s.owner.ChangeAccount(s.ctx, s.user(),
				postgres.AccountPatch{Role: &role, PasswordHash: &hash}))
		}},
	{methods: "UserContents", allowance: rangeAllowance, walks: true,
		run: func(s *statementRun) (int, error) {
			_, err := s.owner.UserContents(s.ctx, s.alice)
			return 0, err
		}},
	{methods: "DisableAccount", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			return 0, s.owner.DisableAccount(s.ctx, s.user())
		}},
	{methods: "RemoveUser, with documents", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			return eachBatch(func(n int) (int, error) {
				removed, _, err := s.owner.RemoveUser(s.ctx, s.alice, n)
				return removed, err
			})
		}},
	{methods: "UserAISettings", run: func(s *statementRun) (int, error) {
		return one(s.worker.UserAISettings(s.ctx, s.alice))
	}},
	{methods: "AllAISettings", walks: true, run: func(s *statementRun) (int, error) {
		_, err := s.worker.AllAISettings(s.ctx)
		return 0, err
	}},
	{methods: "NoteAIProviders AIProviders CheckAIProvider", run: func(s *statementRun) (int, error) {
		err := s.worker.NoteAIProviders(s.ctx, []string{"builtin", "ollama"})
		_, err2 := s.api.AIProviders(s.ctx)
		return first(err, err2, s.api.CheckAIProvider(s.ctx, "ollama"))
	}},
	{methods: "CountAICall", run: func(s *statementRun) (int, error) {
		_, err := s.worker.CountAICall(s.ctx, s.alice, 1000, time.Now())
		_, err2 := s.worker.CountAICall(s.ctx, s.user(), 1000, time.Now())
		return first(err, err2)
	}},
	{methods: "IdentityAccount", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			_, err := s.auth.IdentityAccount(s.ctx, postgres.Identity{
				Issuer: "https://issuer", Subject: "s7"}, 1)
			id := newID(s).String()
			_, err2 := s.auth.IdentityAccount(s.ctx, postgres.Identity{
				Issuer: "https://issuer", Subject: id, Email: id}, 1)
			return first(err, err2)
		}},

	// sessions
	{methods: "StartSession RefreshSession EndSession", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			family := sha256.Sum256([]byte(newID(s).String()))
			token := sha256.Sum256([]byte("token"))
			err := s.auth.StartSession(s.ctx, postgres.NewSession{
				ID: newID(s), UserID: s.alice, VerifiedHash: "hash 1", Family: family, Token: token,
				TTL: time.Hour,
			})
			_, err2 := s.auth.RefreshSession(s.ctx, postgres.Rotation{
				Family: family, PresentedToken: token, NewNonce: []byte("n"), IdleTimeout: time.Hour})
			return first(err, err2, s.auth.EndSession(s.ctx, family, testClient))
		}},
	{methods: "PasswordHash ChangePassword", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			_, err := s.auth.PasswordHash(s.ctx, s.alice)
			_, err2 := s.auth.ChangePassword(s.ctx, s.alice, "hash 1", "hash 1", uuid.Nil, testClient)
			return first(err, err2)
		}},

	// topics
	{methods: "Topics", run: func(s *statementRun) (int, error) {
		return one(s.user1().Topics(s.ctx))
	}},
	{methods: "SystemTopics", run: func(s *statementRun) (int, error) {
		return length(s.user1().SystemTopics(s.ctx))
	}},
	{methods: "CreateTopic UpdateTopic DeleteTopic", run: func(s *statementRun) (int, error) {
		t := schema.Topic{ID: newID(s), Name: "New " + strconv.FormatInt(s.next(), 10), UserID: &s.alice}
		name := t.Name + "a"
		err := s.user1().CreateTopic(s.ctx, t)
		_, err2 := s.user1().UpdateTopic(s.ctx, schema.ScopeUser, t.ID, postgres.TopicPatch{Name: &name})
		return first(err, err2, s.user1().DeleteTopic(s.ctx, schema.ScopeUser, t.ID))
	}},
	{methods: "CreateTopic DeleteTopic, of the system", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			t := schema.Topic{ID: newID(s), Name: "System " + strconv.FormatInt(s.next(), 10)}
			admin := s.api.ForUser(s.admin)
			err := admin.CreateTopic(s.ctx, t)
			return first(err, admin.DeleteTopic(s.ctx, schema.ScopeSystem, t.ID))
		}},
	{methods: "SuggestTopics", run: func(s *statementRun) (int, error) {
		return length(s.worker.SuggestTopics(s.ctx, s.alice, []schema.Topic{
			{ID: newID(s), Name: "Suggested " + strconv.FormatInt(s.next(), 10)}, {Name: "topic 4"}}))
	}},

	// documents of a user
	{methods: "Document", run: func(s *statementRun) (int, error) {
		id := s.take(s, 1, "status = 'classified'")[0]
		_, err := s.user1().Document(s.ctx, id)
		_, err2 := s.worker.Document(s.ctx, id)
		return first(err, err2)
	}},
	{methods: "Document, of an unknown user", run: func(s *statementRun) (int, error) {
		if _, err := s.api.ForUser(newID(s)).Document(s.ctx, newID(s)); err == nil {
			return 0, errors.New("got no error, want one")
		}
		return 0, nil
	}},
	{methods: "Documents, all", run: listing(postgres.Filter{})},
	{methods: "Documents, later page", run: laterListing(postgres.Filter{})},
	{methods: "Documents, of a status", run: listing(postgres.Filter{Statuses: []schema.Status{schema.StatusFailed}})},
	{methods: "Documents, of a status, later page",
		run: laterListing(postgres.Filter{Statuses: []schema.Status{schema.StatusPending}})},
	{methods: "Documents, of a status without documents",
		run: listing(postgres.Filter{Statuses: []schema.Status{schema.StatusQuarantined}})},
	{methods: "Documents, deleting", run: listing(postgres.Filter{Statuses: []schema.Status{schema.StatusDeleting}})},
	{methods: "Documents, with a name", run: listing(postgres.Filter{Query: "INVOICE"})},
	{methods: "Documents, with a name that none has", run: listing(postgres.Filter{Query: "none"})},
	{methods: "Documents, of a status with a name that none has",
		run: listing(postgres.Filter{
			Query: "none", Statuses: []schema.Status{schema.StatusClassified}}),
		allowance: scanAllowance},
	{methods: "Documents, with a topic", run: topicListing(postgres.Filter{})},
	{methods: "Documents, with a topic, later page",
		run: laterListing(postgres.Filter{Topic: uuid.Max})},
	{methods: "Documents, with a topic and a status that few have",
		run: topicListing(postgres.Filter{Statuses: []schema.Status{schema.StatusQuarantined}})},
	{methods: "Documents, with a topic and a name that none has",
		run: topicListing(postgres.Filter{Query: "none"})},
	{methods: "Documents, with a topic that few have", run: func(s *statementRun) (int, error) {
		items, _, err := s.user1().Documents(s.ctx, postgres.Filter{Topic: s.rare})
		return len(items), err
	}},
	{methods: "Documents, of several statuses", run: listing(postgres.Filter{Statuses: inProgress})},
	{methods: "Documents, of several statuses, later page",
		run: laterListing(postgres.Filter{Statuses: inProgress})},
	{methods: "Documents, of several statuses with a name that none has",
		run:       listing(postgres.Filter{Statuses: inProgress, Query: "none"}),
		allowance: lookupAllowance},
	{methods: "Documents, of all statuses with a name that none has",
		run:       listing(postgres.Filter{Statuses: schema.Statuses, Query: "none"}),
		allowance: lookupAllowance},
	{methods: "Documents, oldest first", run: listing(postgres.Filter{Ascending: true})},
	{methods: "Documents, oldest first, later page",
		run: laterListing(postgres.Filter{Ascending: true, Statuses: inProgress})},
	{methods: "Documents, without topics", run: listing(postgres.Filter{NoTopic: true}),
		allowance: lookupAllowance},
	{methods: "Documents, without topics, of a status",
		run: listing(postgres.Filter{NoTopic: true,
			Statuses: []schema.Status{schema.StatusQuarantined}}),
		allowance: lookupAllowance},
	{methods: "Documents, of a day", run: dayListing(postgres.Filter{}), allowance: lookupAllowance},
	{methods: "Documents, of a day with a topic",
		run: dayListing(postgres.Filter{Topic: uuid.Max}), allowance: lookupAllowance},
	{methods: "Documents, of a day, of several statuses",
		run: dayListing(postgres.Filter{Statuses: inProgress}), allowance: lookupAllowance},
	{methods: "Documents, by filename", run: eachSort(postgres.Filter{})},
	{methods: "Documents, by filename, with a name that none has",
		run: eachSort(postgres.Filter{Query: "none"}), allowance: lookupAllowance},
	{methods: "Documents, by filename, of a status",
		run:       eachSort(postgres.Filter{Statuses: []schema.Status{schema.StatusFailed}}),
		allowance: lookupAllowance},
	{methods: "Documents, by filename, of several statuses that none has",
		run: eachSort(postgres.Filter{Statuses: []schema.Status{schema.StatusQuarantined,
			schema.StatusDeleting}}),
		allowance: lookupAllowance},
	{methods: "Documents, by filename, with a topic",
		run: eachSort(postgres.Filter{Topic: uuid.Max}), allowance: lookupAllowance},
	{methods: "Documents, by filename, with a topic that few have",
		run: func(s *statementRun) (int, error) { return eachSort(postgres.Filter{Topic: s.rare})(s) }},
	{methods: "Documents, by filename, without topics",
		run: eachSort(postgres.Filter{NoTopic: true}), allowance: lookupAllowance},
	{methods: "Documents, by filename, of a day",
		run: func(s *statementRun) (int, error) {
			return eachSort(s.day(postgres.Filter{Query: "none"}))(s)
		}, allowance: lookupAllowance},
	{methods: "DocumentCounts", allowance: countAllowance, run: func(s *statementRun) (int, error) {
		counts, err := s.user1().DocumentCounts(s.ctx)
		return len(counts.ByStatus) + len(counts.ByTopic), err
	}},
	{methods: "Documents, of a user with few", run: func(s *statementRun) (int, error) {
		_, _, err := s.api.ForUser(s.id(userKind, 100)).Documents(s.ctx, postgres.Filter{})
		return 0, err
	}},
	{methods: "DocumentsByID", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			return length(s.user1().DocumentsByID(s.ctx, s.take(s, n, "status = 'classified'")))
		})
	}},
	{methods: "CreateDocument", run: func(s *statementRun) (int, error) {
		// Alice has more pending documents than are permitted.
		key := strconv.FormatInt(s.next(), 10)
		for _, owner := range []uuid.UUID{s.alice, s.user()} {
			for _, key := range []string{"", key, key} {
				d := newDocument(s, owner, 1)
				_, _, err := s.api.ForUser(owner).CreateDocument(s.ctx, d, key, 200)
				if err != nil && schema.CodeOf(err) != schema.CodeTooManyPending {
					return 0, err
				}
			}
		}
		return 0, nil
	}},
	{methods: "CreateDocuments", run: func(s *statementRun) (int, error) {
		for _, owner := range []uuid.UUID{s.alice, s.user()} {
			key := strconv.FormatInt(s.next(), 10)
			docs := make([]schema.Document, 100)
			for i := range docs {
				docs[i] = newDocument(s, owner, 1)
				if i%2 == 0 {
					docs[i].IdempotencyKey = new(key + "/" + strconv.Itoa(i%20))
				}
			}
			for range 2 {
				if _, err := s.api.ForUser(owner).CreateDocuments(s.ctx, docs, 200); err != nil {
					return 0, err
				}
				for i := range docs {
					docs[i].ID, docs[i].ObjectKey = newID(s), ""
				}
			}
		}
		return 0, nil
	}},
	{methods: "RenewExpired", run: func(s *statementRun) (int, error) {
		_, err := s.user1().RenewExpired(s.ctx, s.take(s, 1, "status = 'expired'")[0], 200)
		if schema.CodeOf(err) == schema.CodeTooManyPending {
			err = nil
		}
		return 0, err
	}},
	{methods: "AddMultipart Multipart DeleteMultipart", run: func(s *statementRun) (int, error) {
		id := s.take(s, 1, "status = 'classified'")[0]
		u := schema.MultipartUpload{UploadID: id.String(), DocumentID: id, UserID: s.alice,
			ObjectKey: schema.ObjectKey(id), Size: 1, PartSize: 1}
		pending := s.take(s, 1, "status = 'pending'")[0]
		_, err := s.user1().AddMultipart(s.ctx, u)
		u.UploadID += "again"
		_, err2 := s.user1().AddMultipart(s.ctx, u)
		_, err3 := s.user1().Multipart(s.ctx, pending, true)
		d := newDocument(s, s.alice, 1)
		d.Multipart = true
		_, err4 := s.user1().CreateDocuments(s.ctx, []schema.Document{d}, 200)
		return first(err, err2, err3, err4, s.worker.DeleteMultipart(s.ctx, u.UploadID))
	}},
	{methods: "RecordAbortFailure DeleteAborted", run: func(s *statementRun) (int, error) {
		err := s.worker.RecordAbortFailure(s.ctx, "upload 9", "cause", time.Now())
		return first(err, s.worker.DeleteAborted(s.ctx, "upload 9"))
	}},

	// documents by key
	{methods: "DocumentsByKey", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			keys := objectKeys(s.take(s, n, "status = 'classified'"))
			a, err := length(s.worker.DocumentsByKey(s.ctx, keys))
			b, err2 := length(s.user1().DocumentsByKey(s.ctx, keys))
			return a + b, errors.Join(err, err2)
		})
	}},
	{methods: "DocumentByID DocumentTopics Attempts",
		run: func(s *statementRun) (int, error) {
			id := s.take(s, 1, "status = 'classified'")[0]
			_, err := s.worker.DocumentByID(s.ctx, id)
			_, err2 := s.worker.DocumentTopics(s.ctx, id)
			_, err3 := s.worker.Attempts(s.ctx, id)
			return first(err, err2, err3)
		}},
	{methods: "DocumentStates DocumentInfos ObjectKeyStates", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			ids := s.take(s, n, "status = 'expired'")
			a, err := s.worker.DocumentStates(s.ctx, ids, objectKeys(ids))
			b, err2 := s.owner.DocumentInfos(s.ctx, ids, objectKeys(ids))
			c, err3 := s.worker.ObjectKeyStates(s.ctx, objectKeys(ids))
			return len(a) + len(b) + len(c), errors.Join(err, err2, err3)
		})
	}},
	{methods: "Transition", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			topics := []schema.DocumentTopic{
				{TopicID: s.topic, Confidence: 80}, {TopicID: uuid.UUID{1}, Confidence: 80},
			}
			return length(s.worker.Transition(s.ctx, s.take(s, n, "status = 'classified'"),
				func(d *schema.Document, q *schema.Quota, _ time.Time) schema.Decision {
					d.Version++
					q.UsedBytes++
					return schema.Decision{Changed: true, DeleteObject: true, Topics: topics,
						Explanation: []byte("{}")}
				}))
		})
	}},
	{methods: "Transition, of lost documents", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			ids := s.take(s, n, "status = 'classified' AND idempotency_key IS NOT NULL")
			return length(s.worker.Transition(s.ctx, ids, (*schema.Document).MarkGone))
		})
	}},
	{methods: "TransitionWithoutQuota, renaming", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			return length(s.user1().TransitionWithoutQuota(s.ctx, s.take(s, n, "status = 'classified'"),
				func(d *schema.Document, now time.Time) schema.Decision {
					return d.Edit(schema.Edit{Filename: new(d.Filename + " renamed, straße")}, now)
				}))
		})
	}},
	{methods: "MarkUnpublished MarkPublished", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			docs, err := s.worker.MarkUnpublished(s.ctx, s.take(s, n, "status = 'classified'"))
			return len(docs), errors.Join(err, s.worker.MarkPublished(s.ctx, docs))
		})
	}},
	{methods: "MarkPublished, of a user", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			docs, err := s.worker.MarkUnpublished(s.ctx, s.take(s, n, "status = 'classified'"))
			return len(docs), errors.Join(err, s.user1().MarkPublished(s.ctx, docs))
		})
	}},
	{methods: "MarkPublished, of gone documents", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			docs, err := s.worker.Transition(s.ctx, s.take(s, n, "status = 'deleting'"), gone)
			return len(docs), errors.Join(err, s.worker.MarkPublished(s.ctx, docs))
		})
	}},
	{methods: "RecordAttempt", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			ids := s.take(s, n, "status = 'classified'")
			for number := range 2 {
				err := s.worker.RecordAttempt(s.ctx, ids, postgres.NewAttempt{
					Stream: "DOCUMENTS", Consumer: "classify", Number: number, Reason: "busy"})
				if err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
	}},

	// classification
	{methods: "ClassifyInputs TransitionWithoutQuota", allowance: batchAllowance, run: classifyInputs},
	{methods: "Explanation", run: func(s *statementRun) (int, error) {
		return 0, one0(s.user1().Explanation(s.ctx,
			s.take(s, 1, "status = 'classified'")[0]))
	}},
	{methods: "Examples", run: func(s *statementRun) (int, error) {
		topic := postgres.UserTopic{User: s.alice, Topic: s.topic}
		got, err := s.worker.Examples(s.ctx,
			[]postgres.UserTopic{topic, {User: s.alice, Topic: s.rare}}, 50)
		return len(got[topic]), err
	}},
}

func (s *statementRun) user1() *postgres.DB { return s.api.ForUser(s.alice) }

func one0[T any](_ T, err error) error { return err }

// listing returns the number of items of the first page of alice's documents.
func listing(f postgres.Filter) func(*statementRun) (int, error) {
	return func(s *statementRun) (int, error) {
		items, _, err := s.user1().Documents(s.ctx, f)
		return len(items), err
	}
}

func topicListing(f postgres.Filter) func(*statementRun) (int, error) {
	return func(s *statementRun) (int, error) {
		f.Topic = s.topic
		return listing(f)(s)
	}
}

var inProgress = []schema.Status{schema.StatusPending, schema.StatusUploaded}

// eachSort returns the number of items of the first and of a later page in each order. It replaces
// uuid.Max by alice's topic.
func eachSort(f postgres.Filter) func(*statementRun) (int, error) {
	return func(s *statementRun) (total int, err error) {
		f := f
		if f.Topic == uuid.Max {
			f.Topic = s.topic
		}
		after := &postgres.Cursor{
			ID: s.id(documentKind, int64(s.n)*3/4), FilenameKey: "invoice 5", Size: 1000,
		}
		for _, f.Sort = range []postgres.Sort{postgres.ByFilename, postgres.BySize} {
			for _, f.Ascending = range []bool{false, true} {
				for _, f.After = range []*postgres.Cursor{nil, after} {
					n, err := listing(f)(s)
					if err != nil {
						return 0, err
					}
					total += n
				}
			}
		}
		return total, nil
	}
}

// day adds the day to the filter in which the first documents were created. A later day has no more
// than 86,400 documents either.
func (s *statementRun) day(f postgres.Filter) postgres.Filter {
	f.From, f.To = s.base, s.base.Add(2*time.Hour)
	return f
}

func dayListing(f postgres.Filter) func(*statementRun) (int, error) {
	return func(s *statementRun) (int, error) {
		if f := s.day(f); f.Topic != uuid.Max {
			return listing(f)(s)
		}
		return topicListing(s.day(f))(s)
	}
}

// laterListing is listing for a page after a tenth of the documents. It replaces uuid.Max by
// alice's topic.
func laterListing(f postgres.Filter) func(*statementRun) (int, error) {
	return func(s *statementRun) (int, error) {
		f := f
		f.After = &postgres.Cursor{ID: s.id(documentKind, int64(s.n)*9/10)}
		if f.Topic == uuid.Max {
			f.Topic = s.topic
		}
		return listing(f)(s)
	}
}

func classifyInputs(s *statementRun) (int, error) {
	return eachBatch(func(n int) (int, error) {
		ids := s.take(s, n, "status = 'classified'")
		inputs, err := s.worker.ClassifyInputs(s.ctx, ids)
		_, err2 := s.worker.TransitionWithoutQuota(s.ctx, ids,
			func(d *schema.Document, _ time.Time) schema.Decision {
				d.Version++
				return schema.Decision{Changed: true, Example: []byte("new")}
			})
		return len(inputs), errors.Join(err, err2)
	})
}
