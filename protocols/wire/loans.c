#include "loans.h"

#include <stdatomic.h>

#include "frames.h"
#include "invariant.h"

//  Accounts that owe nothing are looked for once there are so many.
enum { ACCOUNTS_LEAST = 64 };

//  What one peer has been lent. It is removed in the owner's thread only, and
//  only when nothing is lent: then libzmq's thread has done with it.
typedef struct {
    peer_t peer;
    atomic_size_t bytes;
} account_t;

struct loans {
    size_t most;
    size_t most_per_peer;
    zhashx_t *accounts;     //  By peer
    size_t swept_at;        //  So many accounts, and they are looked through
    atomic_size_t bytes;    //  Lent in all
    atomic_size_t holders;  //  The owner, and every payload that is lent
};

typedef struct {
    loans_t *loans;
    account_t *account;
    //  Written last by one thread and read first by another (Z17).
    _Atomic(buffer_t *) payload;
} loan_t;

static size_t
hash_peer(const void *key)
{
    const peer_t *peer = key;
    size_t hash = 14695981039346656037u;
    for (int i = 0; i < peer->size; i++)
        hash = (hash ^ peer->bytes[i]) * 1099511628211u;
    return hash;
}

static int
compare_peers(const void *a, const void *b)
{
    return !peer_equal(a, b);
}

static void
free_account(void **account_p)
{
    free(*account_p);
    *account_p = NULL;
}

loans_t *
loans_new(size_t most_bytes, size_t most_bytes_per_peer)
{
    loans_t *self = zmalloc(sizeof(*self));
    self->most = most_bytes;
    self->most_per_peer = most_bytes_per_peer;
    self->swept_at = ACCOUNTS_LEAST;
    self->accounts = zhashx_new();
    zhashx_set_key_hasher(self->accounts, hash_peer);
    zhashx_set_key_comparator(self->accounts, compare_peers);
    zhashx_set_key_duplicator(self->accounts, NULL);
    zhashx_set_key_destructor(self->accounts, NULL);
    zhashx_set_destructor(self->accounts, free_account);
    atomic_init(&self->holders, 1);
    return self;
}

static void
let_go(loans_t *self)
{
    if (atomic_fetch_sub(&self->holders, 1) != 1)
        return;
    zhashx_destroy(&self->accounts);
    free(self);
}

void
loans_destroy(loans_t **self_p)
{
    if (*self_p)
        let_go(*self_p);
    *self_p = NULL;
}

size_t
loans_bytes(const loans_t *self)
{
    return atomic_load(&self->bytes);
}

static void
sweep(loans_t *self)
{
    zlistx_t *idle = zlistx_new();
    for (account_t *account = zhashx_first(self->accounts); account;
         account = zhashx_next(self->accounts))
        if (atomic_load(&account->bytes) == 0)
            zlistx_add_end(idle, account);
    account_t *account;
    while ((account = zlistx_detach(idle, NULL)) != NULL)
        zhashx_delete(self->accounts, &account->peer);
    zlistx_destroy(&idle);
    size_t left = zhashx_size(self->accounts);
    self->swept_at = left * 2 > ACCOUNTS_LEAST ? left * 2 : ACCOUNTS_LEAST;
}

static account_t *
account_of(loans_t *self, const peer_t *peer)
{
    account_t *account = zhashx_lookup(self->accounts, peer);
    if (account)
        return account;
    if (zhashx_size(self->accounts) >= self->swept_at)
        sweep(self);
    account = zmalloc(sizeof(*account));
    account->peer = *peer;
    zhashx_insert(self->accounts, &account->peer, account);
    return account;
}

//  libzmq has let go of it.
static void
give_back(void *bytes, void *loan_)
{
    (void)bytes;
    loan_t *loan = loan_;
    buffer_t *payload = atomic_load(&loan->payload);
    size_t size = buffer_size(payload);
    buffer_unref(&payload);
    atomic_fetch_sub(&loan->loans->bytes, size);
    atomic_fetch_sub(&loan->account->bytes, size);
    let_go(loan->loans);
    free(loan);
}

//  Whether `size` more may be lent where `lent` is: below the bound, or alone.
static bool
fits(atomic_size_t *lent, size_t size, size_t most)
{
    size_t bytes = atomic_load(lent);
    return bytes == 0 || (bytes <= most && size <= most - bytes);
}

//  A payload that counts as lent; NULL: no more may be.
static loan_t *
lend(loans_t *self, const peer_t *peer, buffer_t *payload)
{
    account_t *account = account_of(self, peer);
    size_t size = buffer_size(payload);
    size_t lent = atomic_load(&self->bytes);
    size_t free_bytes = lent < self->most ? self->most - lent : 0;
    if (!fits(&account->bytes, size,
              self->most_per_peer < free_bytes ? self->most_per_peer
                                               : free_bytes) ||
        !fits(&self->bytes, size, self->most))
        return NULL;
    loan_t *loan = malloc(sizeof(*loan));
    INVARIANT(loan);
    loan->loans = self;
    loan->account = account;
    atomic_fetch_add(&self->bytes, size);
    atomic_fetch_add(&account->bytes, size);
    atomic_fetch_add(&self->holders, 1);
    atomic_store(&loan->payload, buffer_ref(payload));
    return loan;
}

status_t
loans_send(loans_t *self, zsock_t *front, const peer_t *peer,
           const message_t *message, buffer_t *payload)
{
    if (!payload || buffer_size(payload) == 0)
        return frames_send(front, peer, message, payload);
    loan_t *loan = lend(self, peer, payload);
    if (loan)
        return frames_lend(front, peer, message, payload, give_back, loan);
    Rill__V1__Refused refused = message_refusal(STATUS_BUSY, NULL, 0);
    message_t refusal = MESSAGE(REFUSED, refused, &refused, message->request,
                                message->trace);
    (void)frames_send(front, peer, &refusal, NULL);
    return STATUS_BUSY;
}
