#include "places.h"

#include "client.h"

size_t
places_ask(const words_t *words, const char *name,
           const char *places_r[PLACES_MOST], message_t **offer_r)
{
    client_t *client;
    *offer_r = NULL;
    if (client_new(words->director, &client) != STATUS_OK)
        return 0;
    size_t count = 0;
    if (client_where(client, name, NULL, true, offer_r) == STATUS_OK)
        for (; count < (*offer_r)->offer->n_places && count < PLACES_MOST;
             count++)
            places_r[count] = (*offer_r)->offer->places[count]->at;
    client_destroy(&client);
    return count;
}
