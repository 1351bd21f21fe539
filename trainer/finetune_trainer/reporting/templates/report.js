
(function () {
  var box = document.getElementById("filter");
  var count = document.getElementById("filter-count");
  var cards = Array.prototype.slice.call(document.querySelectorAll(".card"));
  var texts = cards.map(function (card) { return card.textContent.toLowerCase(); });
  box.addEventListener("input", function () {
    var query = box.value.trim().toLowerCase();
    var shown = 0;
    cards.forEach(function (card, i) {
      card.hidden = query !== "" && texts[i].indexOf(query) < 0;
      if (!card.hidden) { shown += 1; }
    });
    if (query !== "") {
      document.querySelectorAll("details.cards").forEach(function (list) { list.open = list.querySelector(".card:not([hidden])") !== null; });
    }
    count.textContent = query === "" ? "" : shown + " of " + cards.length + " segments";
  });
})();
