// The key of this tab: kept in its sessionStorage, asked for when the service answers 401.

const NAME = "model-lab-key";
let asking = null;

export const key = () => sessionStorage.getItem(NAME);

export function showForget() {
  document.getElementById("forget").hidden = key() === null;
}

export function forget() {
  sessionStorage.removeItem(NAME);
  location.reload();
}

// Asks for a key, once for all requests that wait for one; `refused` is the key that was not good.
export function ask(refused) {
  if (key() !== refused) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const text = document.getElementById("key-text");
    if (refused !== null) document.getElementById("key-why").textContent = "The service does not take that key. Another one?";
    text.value = "";
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(NAME, text.value);
      text.value = "";
      asking = null;
      showForget();
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}
